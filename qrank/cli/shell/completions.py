"""The completion scripts for bash, zsh and fish. They call `qrank`, which prints one completion per
line. Nothing of its output is evaluated, since names may come from an index. If there are none,
file names are completed."""

from __future__ import annotations

_BASH = r"""
# bash completion for qrank
_qrank_completion() {
    local IFS=$'\n' answer name
    answer=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" \
        _QRANK_COMPLETE=complete_bash "${COMP_WORDS[0]}" 2>/dev/null)
    COMPREPLY=()
    if [[ -n $answer ]]; then
        while IFS= read -r name; do  # no mapfile: macOS has bash 3.2
            COMPREPLY+=("$name")
        done <<< "$answer"
    fi
}
complete -o default -F _qrank_completion qrank
"""
_ZSH = r"""
#compdef qrank
# zsh completion for qrank
_qrank() {
    local -a lines names shown
    local line
    lines=("${(@f)$(COMP_WORDS="${(pj:\n:)words[1,CURRENT]}" COMP_CWORD=$((CURRENT - 1)) \
        _QRANK_COMPLETE=describe $words[1] 2>/dev/null)}")
    for line in ${lines:#}; do
        names+=("${line%%$'\t'*}")
        shown+=("${line/$'\t'/  -- }")
    done
    [[ $words[CURRENT] == --*=* ]] && compset -P '*='
    if (( $#names )); then
        compadd -l -d shown -a names
    else
        _files
    fi
}
if [ "$funcstack[1]" = "_qrank" ]; then
    _qrank "$@"
else
    compdef _qrank qrank
fi
"""
_FISH = r"""
# fish completion for qrank
function __qrank_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l before ''
    if string match -qr -- '^--[^=]+=' $current
        set before (string replace -r -- '=.*' '=' $current)
    end
    set -l found (COMP_WORDS=(string join \n -- $words $current | string collect) \
        COMP_CWORD=(count $words) _QRANK_COMPLETE=describe $words[1] 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $before$found
    else
        __fish_complete_path $current
    end
end
complete -c qrank -f -a '(__qrank_complete)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
