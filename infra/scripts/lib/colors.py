# Made by `pretamane emit` from model c3c83e66ca40. Change the stack, not this file.
"""An edge configuration as JSON from stdin to stdout, with the upstream of one color before that of the other.

colors.py blue fastapi-app:8000 ... ; Caddy's policy `first` sends requests to the first that is healthy.
"""
import json
import sys


def turn(value, first):
    """Every list of upstreams with those of the color in front, otherwise in the order it had."""
    if isinstance(value, dict):
        return {key: sorted(turn(each, first), key=lambda one: one.get("dial") not in first) if key == "upstreams" and isinstance(each, list)
                else turn(each, first) for key, each in value.items()}
    return [turn(each, first) for each in value] if isinstance(value, list) else value


if __name__ == "__main__":
    color, *services = sys.argv[1:]
    names = {f"{name}-{color}:{port}" for name, _, port in (each.partition(":") for each in services)}
    json.dump(turn(json.load(sys.stdin), names), sys.stdout)
