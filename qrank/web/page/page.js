"use strict";
// Search as you type. Everything that comes from a document is put in as text, never as HTML.

const at = (id) => document.getElementById(id);
const FILTERS = ["collection", "path", "type", "since", "until", "mode"];
const AROUND = 150; // lines of a file that are shown before and after a chunk
const SHOWN = 360; // characters of a chunk in the list
const SECOND = 250; // ms without a key until results by meaning are asked for,
const THIRD = 800; // and until these are reranked

let results = [];
let asked = null; // the search that is under way, to be given up when a key is pressed
let opened = ""; // the id of the chunk that is shown

// The state of the page is its address: it can be reloaded, gone back to, kept.

function state() {
  return new URLSearchParams(location.hash.slice(1));
}

function current(open = "") {
  const params = new URLSearchParams();
  if (at("query").value) params.set("q", at("query").value);
  for (const name of FILTERS) if (at(name).value) params.set(name, at(name).value);
  if (open) params.set("open", open);
  return "#" + params;
}

function restore() {
  const params = state();
  const differs = at("query").value !== (params.get("q") ?? "")
    || FILTERS.some((name) => at(name).value !== (params.get(name) ?? ""));
  if (differs) {
    at("query").value = params.get("q") ?? "";
    for (const name of FILTERS) set(at(name), params.get(name) ?? "");
  }
  if (differs || (!results.length && at("query").value)) search(true);
  show(params.get("open") ?? "");
}

function set(field, value) {
  if (field.tagName === "SELECT" && ![...field.options].some((o) => o.value === value)) {
    field.append(new Option(value, value));
  }
  field.value = value;
}

// Asking

async function ask(path, body, signal) {
  let answer;
  try {
    answer = await fetch(path, {
      method: body ? "POST" : "GET",
      headers: body ? { "Content-Type": "application/json" } : {},
      body: body && JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer; start it again with: qrank serve --open");
  }
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.detail);
  return found;
}

function wanted() {
  const body = { query: at("query").value, limit: 30, explain: true };
  for (const name of FILTERS) if (name !== "mode" && at(name).value) body[name] = at(name).value;
  return body;
}

function steps(mode, whole) {
  if (mode === "bm25") return [[0, { mode: "bm25", unfinished: !whole }]];
  if (mode === "vector") return [[SECOND, { mode: "vector", rerank: false }]];
  const first = [[0, { mode: "bm25", unfinished: !whole }], [SECOND, { rerank: false }]];
  return mode === "fused" ? first : [...first, [THIRD, { rerank: true }]];
}

async function search(whole = false) {
  asked?.abort();
  const own = (asked = new AbortController());
  const count = FILTERS.filter((name) => at(name).value).length;
  at("filtered").textContent = count ? ` (${count})` : "";
  if (!at("query").value.trim()) {
    list([]);
    say("");
    return;
  }
  const started = performance.now();
  const all = steps(at("mode").value, whole);
  for (const [delay, more] of all) {
    try {
      await pause((whole ? 0 : delay) - (performance.now() - started), own.signal);
      if (more.rerank) say(`${results.length} results, reranking…`);
      const answer = await ask("/v1/search", { ...wanted(), ...more }, own.signal);
      if (own !== asked) return;
      list(answer.results);
      say(told(answer));
    } catch (error) {
      if (error.name === "AbortError" || own !== asked) return;
      if (more.unfinished && all.length > 1) continue; // half a query; the next step says it
      say(error.message, true);
      return;
    }
  }
}

function pause(ms, signal) {
  return new Promise((done, failed) => {
    const timer = setTimeout(done, Math.max(0, ms));
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      failed(new DOMException("", "AbortError"));
    });
  });
}

function told(answer) {
  const count = answer.results.length;
  const how = answer.reranked ? `${answer.reranked} reranked` : answer.mode;
  const found = count ? `${count} result${count === 1 ? "" : "s"} (${how})` : "Nothing was found";
  return [found, ...answer.notices].join(". ");
}

function say(message, bad = false) {
  at("status").textContent = message;
  at("status").classList.toggle("bad", bad);
}

// Showing

// Control characters are shown instead of obeyed, one for one, so that offsets still hold.
function inert(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g,
    (c) => (c < " " ? String.fromCharCode(0x2400 + c.charCodeAt(0)) : c === "\x7f" ? "\u2421" : "\ufffd"));
}

function made(tag, name, ...inside) {
  const found = document.createElement(tag);
  if (name) found.className = name;
  found.append(...inside);
  return found;
}

// The nodes of characters from and to; matches are in characters, as Python counts them.
function marked(text, matches, from = 0, to = Infinity) {
  const chars = Array.from(text);
  const nodes = [];
  let done = from;
  to = Math.min(to, chars.length);
  const piece = (start, end) => inert(chars.slice(start, end).join(""));
  for (const [start, end] of matches) {
    if (start < done || end > to) continue;
    nodes.push(piece(done, start), made("mark", "", piece(start, end)));
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
  const end = Math.min(chars.length, start + SHOWN);
  return [start ? "… " : "", ...marked(result.text, matches, start, end),
    end < chars.length ? " …" : ""];
}

function location_(chunk) {
  return chunk.member ? `${chunk.path}!/${chunk.member}` : chunk.path;
}

function place(chunk) {
  const page = chunk.page === null ? "" : `, page ${chunk.page}`;
  return inert(`${location_(chunk)}:${chunk.start_line}-${chunk.end_line}${page}`);
}

function list(found) {
  const focused = document.activeElement?.closest?.("li")?.dataset.id;
  results = found;
  at("list").replaceChildren(...found.map(item));
  mark();
  if (focused) link(focused)?.focus();
}

function item(result) {
  const a = made("a", "", made("span", "place", place(result)),
    made("span", "heading", inert(result.heading || result.title)),
    made("span", "text", ...excerpt(result)));
  a.href = current(result.id);
  const li = made("li", "", a, why(result));
  li.dataset.id = result.id;
  return li;
}

function link(id) {
  return [...at("list").children].find((li) => li.dataset.id === id)?.firstChild;
}

function mark() {
  for (const li of at("list").children) {
    if (li.dataset.id === opened) li.firstChild.setAttribute("aria-current", "true");
    else li.firstChild.removeAttribute("aria-current");
  }
}

// How a score came about
function why(result) {
  const { bm25, vector, fused, rerank } = result.scores;
  const short = (value) => Number(value).toPrecision(3);
  const rows = [["stage", "rank", "score"]];
  if (bm25) {
    const terms = Object.entries(bm25.terms ?? {}).map(([t, s]) => `${inert(t)} ${short(s)}`);
    rows.push(["keywords (BM25)", bm25.rank, `${short(bm25.score)} = ${terms.join(" + ")}`]);
  }
  if (vector) rows.push(["meaning (cosine)", vector.rank, short(vector.score)]);
  if (fused) rows.push(["both", fused.rank, short(fused.score)]);
  if (rerank) rows.push(["reranked", "", `${short(rerank.score)}, P(yes) ${short(rerank.p_yes)}`]);
  const table = made("table", "", ...rows.map((cells, i) =>
    made("tr", "", ...cells.map((cell) => made(i ? "td" : "th", "", String(cell))))));
  return made("details", "", made("summary", "",
    `Score ${short(result.score)} (${result.score_kind})`), table);
}

// A chunk in its file

async function show(id) {
  if (id === opened) return;
  opened = id;
  mark();
  at("reader").hidden = !id;
  document.body.classList.toggle("reading", Boolean(id));
  if (!id) return;
  at("back").href = current();
  at("note").textContent = "";
  at("picture").replaceChildren();
  at("chunk").replaceChildren();
  at("place").textContent = "…";
  try {
    const [chunk] = (await ask("/v1/get", { ids: [id] })).chunks;
    const { chunks } = await ask("/v1/get", {
      path: location_(chunk),
      from_line: Math.max(1, chunk.start_line - AROUND),
      to_line: chunk.end_line + AROUND,
    });
    if (id !== opened) return;
    at("place").textContent = place(chunk);
    at("note").textContent = chunk.stale
      ? "The file has changed since it was indexed: this is what it was then." : "";
    if (chunk.page !== null && /\.pdf$/i.test(chunk.path) && !chunk.member) picture(chunk);
    at("chunk").replaceChildren(...chunks.map((each) => drawn(each, each.id === id)));
    at("chunk").querySelector(".chosen")?.scrollIntoView({ block: "center" });
    at("reader").focus({ preventScroll: true });
  } catch (error) {
    if (id !== opened) return;
    at("place").textContent = "";
    at("note").textContent = error.message;
  }
}

function picture(chunk) {
  const img = new Image();
  img.alt = `Page ${chunk.page} of ${inert(chunk.path)}`;
  img.addEventListener("error", () => img.remove());
  img.src = `/page/picture?id=${encodeURIComponent(chunk.id)}&page=${chunk.page}`;
  at("picture").append(img);
}

function drawn(chunk, chosen) {
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
    return made("div", "row", made("span", "number", number),
      made("span", "words", ...marked(row, own)));
  });
  return made("div", chosen ? "chunk chosen" : "chunk", ...lines);
}

// Keys and events

function move(step) {
  const links = [...at("list").children].map((li) => li.firstChild);
  const place = links.indexOf(document.activeElement);
  const next = place + step;
  if (next < 0) at("query").focus();
  else links[Math.min(next, links.length - 1)]?.focus();
}

document.addEventListener("keydown", (event) => {
  const target = event.target;
  const typing = target.matches("input, select");
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  if (event.key === "/" && !typing) {
    event.preventDefault();
    at("query").focus();
    at("query").select();
  } else if ((event.key === "ArrowDown" || event.key === "ArrowUp")
      && (target === at("query") || target.closest("#list"))) {
    event.preventDefault();
    move(event.key === "ArrowDown" ? 1 : -1);
  } else if (event.key === "Enter" && target === at("query")) {
    event.preventDefault(); // without a button, a form is not submitted by it
    search(true);
  } else if (event.key === "Escape" && opened) {
    event.preventDefault();
    const id = opened;
    location.hash = current();
    (link(id) ?? at("query")).focus();
  } else if (event.key === "Escape" && !typing) {
    at("query").focus();
  }
});

at("query").addEventListener("input", () => {
  history.replaceState(null, "", current(opened));
  search();
});
at("form").addEventListener("submit", (event) => event.preventDefault());
at("form").addEventListener("reset", (event) => {
  event.preventDefault(); // which would empty the query, too
  for (const name of FILTERS) at(name).value = "";
  changed();
});
at("filters").addEventListener("change", changed);

function changed() {
  history.replaceState(null, "", current(opened));
  search(true);
}

addEventListener("hashchange", restore);

async function begin() {
  restore();
  try {
    const [held, formats] = await Promise.all([ask("/v1/status"), ask("/page/formats")]);
    for (const { name, files } of held.collections) {
      const known = [...at("collection").options].find((option) => option.value === name);
      const option = known ?? at("collection").appendChild(new Option(name, name));
      option.textContent = `${inert(name)} (${files})`;
    }
    at("types").replaceChildren(...formats.map((name) => new Option(name, name)));
  } catch (error) {
    say(error.message, true);
  }
}

begin();
