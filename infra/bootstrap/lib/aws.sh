# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
# shellcheck shell=bash
# Calls to AWS. What decides is the name of the error in the message: exit codes differ between versions of the CLI.

AWS_ERROR="" # of the last call: 'ParameterNotFound', 'AccessDeniedException', 'unreachable', …

# aws_error FILE: the error's name in the CLI's message.
aws_error() {
    local name
    name="$(sed -n 's/^.*An error occurred (\([A-Za-z0-9.]*\)).*$/\1/p' "$1" | head -n 1)"
    printf '%s' "${name:-unreachable}"
}

# call_aws OUTPUT ARGUMENT …: standard output goes to the file OUTPUT. The answers that settle a question are not asked
# for again; all else is, because a new instance's role and network may need a moment.
call_aws() {
    local output="$1" attempt message="$WORK/aws.message"
    shift
    for ((attempt = 1; ; attempt++)); do
        AWS_ERROR=""
        if aws --cli-connect-timeout 5 --cli-read-timeout 20 "$@" >"$output" 2>"$message"; then return 0; fi
        AWS_ERROR="$(aws_error "$message")"
        if [[ "$AWS_ERROR" == ParameterNotFound || "$AWS_ERROR" == ParameterAlreadyExists ]]; then return 1; fi
        log "attempt $attempt of 'aws $1 $2': $AWS_ERROR: $(tail -n 1 "$message")"
        if ((attempt >= ${RETRY_ATTEMPTS:-6})); then return 1; fi
        pause "$attempt"
    done
}

parameter() { printf '/%s/%s/%s' "$STACK" "$ENVIRONMENT" "$1"; }

# read_parameters FOLDER: every parameter of the stack into a file of its own. With the final slash the path is within what
# a policy for its parameters allows; without it, it is a name of its own.
read_parameters() {
    local answer="$WORK/parameters.json" name
    call_aws "$answer" ssm get-parameters-by-path --path "/$STACK/$ENVIRONMENT/" --with-decryption --output json || return 1
    while IFS= read -r name; do
        jq -j --arg name "$name" '.Parameters[] | select(.Name == $name) | .Value' "$answer" >"$1/${name##*/}" || return 1
    done < <(jq -r '.Parameters[].Name' "$answer")
    rm -f -- "$answer"
}

# read_parameter NAME FILE
read_parameter() {
    local answer="$WORK/parameter.json"
    call_aws "$answer" ssm get-parameter --name "$(parameter "$1")" --with-decryption --output json || return 1
    jq -j .Parameter.Value "$answer" >"$2" || return 1
    rm -f -- "$answer"
}

# write_parameter NAME FILE [--overwrite]: the value is never an argument, where `ps` would show it.
write_parameter() {
    local request="$WORK/request.json" code=0
    jq -n --arg name "$(parameter "$1")" --rawfile value "$2" '{Name: $name, Value: $value, Type: "SecureString"}' >"$request" || return 1
    call_aws /dev/null ssm put-parameter --cli-input-json "file://$request" "${@:3}" || code=$?
    rm -f -- "$request"
    return "$code"
}
