"use strict";
// Search as you type. Text from documents is always inserted as text, never as HTML.

const byId = (id) => document.getElementById(id);
const FILTERS = ["collection", "path", "type", "since", "until", "mode"];
const AROUND = 150; // lines of a file that are shown before and after a chunk
const EXCERPT = 360; // characters of a chunk in the list
const HYBRID_DELAY = 250; // ms without a key press before the vectors are searched, too,
const RERANK_DELAY = 800; // and before results are reranked

let results = [];
let running = null; // the AbortController of the running search, which a key press cancels
let opened = ""; // the id of the chunk that is shown

// The state of the page is in its URL, so that it can be reloaded, bookmarked, gone back to.

function state() {
  return new URLSearchParams(location.hash.slice(1));
}

function current(open = "") {
  const params = new URLSearchParams();
  if (byId("query").value) params.set("q", byId("query").value);
  for (const name of FILTERS) if (byId(name).value) params.set(name, byId(name).value);
  if (open) params.set("open", open);
  return "#" + params;
}

function restore() {
  const params = state();
  const differs = byId("query").value !== (params.get("q") ?? "")
    || FILTERS.some((name) => byId(name).value !== (params.get(name) ?? ""));
  if (differs) {
    byId("query").value = params.get("q") ?? "";
    for (const name of FILTERS) set(byId(name), params.get(name) ?? "");
  }
  if (differs || (!results.length && byId("query").value)) search(true);
  show(params.get("open") ?? "");
}

function set(field, value) {
  if (field.tagName === "SELECT" && ![...field.options].some((o) => o.value === value)) {
    field.append(new Option(value, value));
  }
  field.value = value;
}

// Requests

async function request(path, body, signal) {
  let response;
  try {
    response = await fetch(path, {
      method: body ? "POST" : "GET",
      headers: body ? { "Content-Type": "application/json" } : {},
      body: body && JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer; start it again with: qrank serve --open");
  }
  const value = await response.json();
  if (!response.ok) throw new Error(value.detail);
  return value;
}

function searchBody() {
  const body = { query: byId("query").value, limit: 30, explain: true };
  for (const name of FILTERS) if (name !== "mode" && byId(name).value) body[name] = byId(name).value;
  return body;
}

// The searches to do one after another, as [delay, options]. whole: the query is complete.
function steps(mode, whole) {
  if (mode === "bm25") return [[0, { mode: "bm25", unfinished: !whole }]];
  if (mode === "vector") return [[HYBRID_DELAY, { mode: "vector", rerank: false }]];
  const first = [[0, { mode: "bm25", unfinished: !whole }], [HYBRID_DELAY, { rerank: false }]];
  return mode === "fused" ? first : [...first, [RERANK_DELAY, { rerank: true }]];
}

async function search(whole = false) {
  running?.abort();
  const own = (running = new AbortController());
  const count = FILTERS.filter((name) => byId(name).value).length;
  byId("filtered").textContent = count ? ` (${count})` : "";
  if (!byId("query").value.trim()) {
    list([]);
    setStatus("");
    return;
  }
  const started = performance.now();
  const all = steps(byId("mode").value, whole);
  for (const [delay, more] of all) {
    try {
      await pause((whole ? 0 : delay) - (performance.now() - started), own.signal);
      if (more.rerank) setStatus(`${results.length} results, reranking…`);
      const answer = await request("/v1/search", { ...searchBody(), ...more }, own.signal);
      if (own !== running) return;
      list(answer.results);
      setStatus(summary(answer));
    } catch (error) {
      if (error.name === "AbortError" || own !== running) return;
      if (more.unfinished && all.length > 1) continue; // incomplete; the next step reports it
      setStatus(error.message, true);
      return;
    }
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, Math.max(0, ms));
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("", "AbortError"));
    });
  });
}

function summary(answer) {
  const count = answer.results.length;
  const mode = answer.reranked ? `${answer.reranked} reranked` : answer.mode;
  const first = count ? `${count} result${count === 1 ? "" : "s"} (${mode})` : "Nothing was found";
  return [first, ...answer.notices].join(". ");
}

function setStatus(message, bad = false) {
  byId("status").textContent = message;
  byId("status").classList.toggle("bad", bad);
}

// Results

// Replace each control character by a visible one, so that offsets are still valid.
function escapeControls(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g,
    (c) => (c < " " ? String.fromCharCode(0x2400 + c.charCodeAt(0)) : c === "\x7f" ? "\u2421" : "\ufffd"));
}

function element(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

// The nodes of a part of a text; from, to and matches are counted in code points, as in Python.
function highlighted(text, matches, from = 0, to = Infinity) {
  const chars = Array.from(text);
  const nodes = [];
  let done = from;
  to = Math.min(to, chars.length);
  const piece = (start, end) => escapeControls(chars.slice(start, end).join(""));
  for (const [start, end] of matches) {
    if (start < done || end > to) continue;
    nodes.push(piece(done, start), element("mark", "", piece(start, end)));
    done = end;
  }
  nodes.push(piece(done, to));
  return nodes;
}

function excerpt(result) {
  const chars = Array.from(result.text);
  const matches = result.matches ?? [];
  let start = Math.max(0, (matches[0]?.[0] ?? 0) - 80);
  while (start > 0 && !/\s/.test(chars[start - 1])) start--;
  const end = Math.min(chars.length, start + EXCERPT);
  return [start ? "… " : "", ...highlighted(result.text, matches, start, end),
    end < chars.length ? " …" : ""];
}

function fullPath(chunk) {
  return chunk.member ? `${chunk.path}!/${chunk.member}` : chunk.path;
}

function place(chunk) {
  const page = chunk.page === null ? "" : `, page ${chunk.page}`;
  return escapeControls(`${fullPath(chunk)}:${chunk.start_line}-${chunk.end_line}${page}`);
}

function list(items) {
  const focused = document.activeElement?.closest?.("li")?.dataset.id;
  results = items;
  byId("list").replaceChildren(...items.map(item));
  markCurrent();
  if (focused) link(focused)?.focus();
}

function item(result) {
  const a = element("a", "", element("span", "place", place(result)),
    element("span", "heading", escapeControls(result.heading || result.title)),
    element("span", "text", ...excerpt(result)));
  a.href = current(result.id);
  const li = element("li", "", a, explanation(result));
  li.dataset.id = result.id;
  return li;
}

function link(id) {
  return [...byId("list").children].find((li) => li.dataset.id === id)?.firstChild;
}

function markCurrent() {
  for (const li of byId("list").children) {
    if (li.dataset.id === opened) li.firstChild.setAttribute("aria-current", "true");
    else li.firstChild.removeAttribute("aria-current");
  }
}

// A table with the scores of all stages
function explanation(result) {
  const { bm25, vector, fused, rerank } = result.scores;
  const short = (value) => Number(value).toPrecision(3);
  const rows = [["stage", "rank", "score"]];
  if (bm25) {
    const terms = Object.entries(bm25.terms ?? {}).map(([t, s]) => `${escapeControls(t)} ${short(s)}`);
    rows.push(["keywords (BM25)", bm25.rank, `${short(bm25.score)} = ${terms.join(" + ")}`]);
  }
  if (vector) rows.push(["meaning (cosine)", vector.rank, short(vector.score)]);
  if (fused) rows.push(["both", fused.rank, short(fused.score)]);
  if (rerank) rows.push(["reranked", "", `${short(rerank.score)}, P(yes) ${short(rerank.p_yes)}`]);
  const table = element("table", "", ...rows.map((cells, i) =>
    element("tr", "", ...cells.map((cell) => element(i ? "td" : "th", "", String(cell))))));
  return element("details", "", element("summary", "",
    `Score ${short(result.score)} (${result.score_kind})`), table);
}

// A chunk in its file

async function show(id) {
  if (id === opened) return;
  opened = id;
  markCurrent();
  byId("reader").hidden = !id;
  document.body.classList.toggle("reading", Boolean(id));
  if (!id) return;
  byId("back").href = current();
  byId("note").textContent = "";
  byId("picture").replaceChildren();
  byId("chunk").replaceChildren();
  byId("place").textContent = "…";
  try {
    const [chunk] = (await request("/v1/get", { ids: [id] })).chunks;
    const { chunks } = await request("/v1/get", {
      path: fullPath(chunk),
      from_line: Math.max(1, chunk.start_line - AROUND),
      to_line: chunk.end_line + AROUND,
    });
    if (id !== opened) return;
    byId("place").textContent = place(chunk);
    byId("note").textContent = chunk.stale
      ? "The file has changed since it was indexed; this is the indexed text." : "";
    if (chunk.page !== null && /\.pdf$/i.test(chunk.path) && !chunk.member) picture(chunk);
    byId("chunk").replaceChildren(...chunks.map((each) => chunkNode(each, each.id === id)));
    byId("chunk").querySelector(".chosen")?.scrollIntoView({ block: "center" });
    byId("reader").focus({ preventScroll: true });
  } catch (error) {
    if (id !== opened) return;
    byId("place").textContent = "";
    byId("note").textContent = error.message;
  }
}

function picture(chunk) {
  const img = new Image();
  img.alt = `Page ${chunk.page} of ${escapeControls(chunk.path)}`;
  img.addEventListener("error", () => img.remove());
  img.src = `/page/picture?id=${encodeURIComponent(chunk.id)}&page=${chunk.page}`;
  byId("picture").append(img);
}

function chunkNode(chunk, chosen) {
  const matches = chosen ? results.find((r) => r.id === chunk.id)?.matches ?? [] : [];
  const rows = chunk.text.split("\n");
  const numbered = rows.length === chunk.end_line - chunk.start_line + 1;
  let from = 0;
  const lines = rows.map((row, i) => {
    const length = Array.from(row).length;
    const own = matches.filter(([start, end]) => start >= from && end <= from + length)
      .map(([start, end]) => [start - from, end - from]);
    from += length + 1;
    const number = numbered ? String(chunk.start_line + i) : i ? "" : String(chunk.start_line);
    return element("div", "row", element("span", "number", number),
      element("span", "words", ...highlighted(row, own)));
  });
  return element("div", chosen ? "chunk chosen" : "chunk", ...lines);
}

// Keys and events

function move(step) {
  const links = [...byId("list").children].map((li) => li.firstChild);
  const place = links.indexOf(document.activeElement);
  const next = place + step;
  if (next < 0) byId("query").focus();
  else links[Math.min(next, links.length - 1)]?.focus();
}

document.addEventListener("keydown", (event) => {
  const target = event.target;
  const typing = target.matches("input, select");
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  if (event.key === "/" && !typing) {
    event.preventDefault();
    byId("query").focus();
    byId("query").select();
  } else if ((event.key === "ArrowDown" || event.key === "ArrowUp")
      && (target === byId("query") || target.closest("#list"))) {
    event.preventDefault();
    move(event.key === "ArrowDown" ? 1 : -1);
  } else if (event.key === "Enter" && target === byId("query")) {
    event.preventDefault(); // the form has no submit button
    search(true);
  } else if (event.key === "Escape" && opened) {
    event.preventDefault();
    const id = opened;
    location.hash = current();
    (link(id) ?? byId("query")).focus();
  } else if (event.key === "Escape" && !typing) {
    byId("query").focus();
  }
});

byId("query").addEventListener("input", () => {
  history.replaceState(null, "", current(opened));
  search();
});
byId("form").addEventListener("submit", (event) => event.preventDefault());
byId("form").addEventListener("reset", (event) => {
  event.preventDefault(); // a reset would clear the query, too
  for (const name of FILTERS) byId(name).value = "";
  changed();
});
byId("filters").addEventListener("change", changed);

function changed() {
  history.replaceState(null, "", current(opened));
  search(true);
}

addEventListener("hashchange", restore);

async function start() {
  restore();
  try {
    const [status, formats] = await Promise.all([request("/v1/status"), request("/page/formats")]);
    for (const { name, files } of status.collections) {
      const existing = [...byId("collection").options].find((option) => option.value === name);
      const option = existing ?? byId("collection").appendChild(new Option(name, name));
      option.textContent = `${escapeControls(name)} (${files})`;
    }
    byId("types").replaceChildren(...formats.map((name) => new Option(name, name)));
  } catch (error) {
    setStatus(error.message, true);
  }
}

start();
