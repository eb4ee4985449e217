# SPDX-License-Identifier: GPL-2.0-or-later
# Bash completion of spool-inspect. It asks the program itself what there is.

_spool_inspect_commands() {
    spool-inspect --help | sed -n '/^Commands/,/^$/s/^  \([a-z][a-z ]*[a-z]\)  .*/\1/p'
}

# The IDs of destinations, or their numbers where they have none.
_spool_inspect_destinations() { # [--spool DIR]
    spool-inspect "$@" status --json 2>/dev/null | grep -o '"number":[0-9]*,"destination":"[^"]*"' |
        sed -e 's/.*"destination":"\[\([^]]*\)\].*/\1/' -e 's/^"number":\([0-9]*\),.*/\1/'
}

_spool_inspect() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local command=() spool=() i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --spool) spool=(--spool "${COMP_WORDS[++i]}") ;;
        -*) ;;
        dead) command=(dead) ;;
        *)
            if [[ ${#command[@]} -eq 0 || ${command[*]} == dead ]]; then
                command+=("${COMP_WORDS[i]}")
            fi
            ;;
        esac
    done
    COMPREPLY=()
    case $previous in
    --spool)
        mapfile -t COMPREPLY < <(compgen -A directory -- "$word")
        return
        ;;
    --export | --output)
        mapfile -t COMPREPLY < <(compgen -A file -- "$word")
        return
        ;;
    --destination | --into)
        mapfile -t COMPREPLY < <(compgen -W "$(_spool_inspect_destinations "${spool[@]}")" -- "$word")
        return
        ;;
    --place)
        mapfile -t COMPREPLY < <(compgen -W "queue dead reports" -- "$word")
        return
        ;;
    --as)
        mapfile -t COMPREPLY < <(compgen -W "json text hex raw" -- "$word")
        return
        ;;
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W \
            "$(spool-inspect "${command[@]}" --help 2>/dev/null | grep -o -- '^ *\(-., \)\?--[a-z-]*' | grep -o -- '--[a-z-]*')" -- "$word")
    elif [[ ${command[*]} == dead ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_spool_inspect_commands | sed -n 's/^dead //p')" -- "$word")
    elif [[ ${#command[@]} -eq 0 ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_spool_inspect_commands | sed 's/ .*//' | sort -u)" -- "$word")
    elif [[ ${command[0]} == pause || ${command[0]} == resume ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_spool_inspect_destinations "${spool[@]}")" -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -A file -- "$word")
    fi
}

complete -o filenames -F _spool_inspect spool-inspect
