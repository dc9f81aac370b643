"""The widget for fzf: search as you type, and insert the chosen locations into the command line.

fzf replaces {q} and {1}, quoted for the shell; the output of qrank is never evaluated.
"""

from __future__ import annotations

_ABOUT = r"""
# qrank's widget for fzf, for NAME: Alt-S searches as you type. Enter puts the places of the chosen
# results (Tab chooses several) on the command line, Ctrl-O opens one in the editor. What stands
# on the line is searched for first. QRANK_FZF_OPTS: more options for fzf, separated by blanks.
"""
_OPTIONS = r"""--disabled --multi --delimiter '\t' --with-nth 2.. --prompt 'qrank> ' \
        --query "$QUERY" --bind "change:reload:$SEARCH" \
        --preview 'qrank get {1}' --preview-window 'down,40%,wrap' \
        --bind 'ctrl-o:execute(qrank open {1} < /dev/tty > /dev/tty)'"""
_SEARCH = r"qrank search -q --mode bm25 -n 50 --format '{id}\t{path}:{line}\t{snippet}' --"
_RELOAD = f"{_SEARCH} {{q}} 2> /dev/null || true"

_POSIX = (
    _ABOUT.replace("NAME", "bash and zsh").strip()
    + rf"""
qrank-fzf() {{
    local QUERY="$*" SEARCH="{_RELOAD}" place
    local -a more
    more=()
    [ -z "${{QRANK_FZF_OPTS-}}" ] || eval "more=($QRANK_FZF_OPTS)"
    {_SEARCH} "$QUERY" 2> /dev/null \
        | fzf {_OPTIONS} "${{more[@]}}" \
        | cut -f 2 | while IFS= read -r place; do
        printf '%q ' "$place"
    done
}}
if [ -n "${{ZSH_VERSION-}}" ]; then
    qrank-fzf-widget() {{
        local places
        places=$(qrank-fzf "$LBUFFER" < /dev/tty)
        [ -z "$places" ] || LBUFFER=$places
        zle reset-prompt
    }}
    if [[ -o interactive ]]; then
        zle -N qrank-fzf-widget
        bindkey '\es' qrank-fzf-widget
    fi
else
    qrank-fzf-widget() {{
        local places
        places=$(qrank-fzf "$READLINE_LINE")
        if [ -n "$places" ]; then
            READLINE_LINE=$places
            READLINE_POINT=${{#places}}
        fi
    }}
    [[ $- != *i* ]] || bind -x '"\es": qrank-fzf-widget'
fi
"""
)

_FISH = (
    _ABOUT.replace("NAME", "fish").strip()
    + rf"""
function qrank-fzf
    set -l QUERY "$argv"
    set -l SEARCH "{_RELOAD}"
    set -l more (string split -n ' ' -- "$QRANK_FZF_OPTS")
    {_SEARCH} "$QUERY" 2> /dev/null | fzf {_OPTIONS} $more | cut -f 2 | string escape
end
function qrank-fzf-widget
    set -l places (qrank-fzf (commandline))
    if test (count $places) -gt 0
        commandline -r -- (string join ' ' -- $places)' '
    end
    commandline -f repaint
end
if status is-interactive
    bind \es qrank-fzf-widget
end
"""
)

SCRIPTS = {"fzf": _POSIX, "fzf-fish": _FISH}
