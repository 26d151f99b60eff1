"""`coreos completion`: one script for every command, generated from the settings tables.

The script is static: completing starts no process. zsh runs the bash script through bashcompinit.
"""

from __future__ import annotations

import click

from coreos_py.commands import ROWS, TABLE
from coreos_py.suite import programs

_BASH = """\
declare -A _coreos_words=(
@WORDS@
)

_coreos_complete() {
    local current=${COMP_WORDS[COMP_CWORD]} path=${COMP_WORDS[0]##*/} word i
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $path == coreos && -n ${_coreos_words[$word]+x} ]]; then
            path=$word
        elif [[ -n ${_coreos_words[$path $word]+x} ]]; then
            path="$path $word"
        fi
    done
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("$word")
    done < <(compgen -W "${_coreos_words[$path]-}" -- "$current")
}

complete -o default -F _coreos_complete @NAMES@
"""

_ZSH = """\
autoload -U +X compinit && compinit
autoload -U +X bashcompinit && bashcompinit
"""


def script(shell: str, own: click.Group) -> str:
    """The completion script for bash or zsh; `own` is the suite's own command."""
    found = own_words(own, "coreos")
    found["coreos"] += [name for name in TABLE if name != "coreos"]
    for row in ROWS:
        program = programs.of(row)
        if program is not None:
            known = programs.words(program)
            found |= {row.name + path[len(program.name) :]: known[path] for path in known}
        elif row.name not in found:
            found[row.name] = []
    lines = [f"    ['{path}']='{' '.join(found[path])}'" for path in sorted(found)]
    body = _BASH.replace("@WORDS@", "\n".join(lines)).replace("@NAMES@", " ".join(TABLE))
    return (_ZSH if shell == "zsh" else "") + body


def own_words(command: click.Command, path: str) -> dict[str, list[str]]:
    """What may follow in a click command, for every level."""
    options = [
        name
        for item in command.params
        if isinstance(item, click.Option) and not item.hidden
        for name in item.opts
    ]
    found = {path: [*options, "--help"]}
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                found[path].append(name)
                found |= own_words(child, f"{path} {name}")
    return found
