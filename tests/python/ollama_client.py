"""Uses a server through the official Ollama client, and prints what came back as one JSON text.

Usage: ollama_client.py URL MODEL. The caller compares; a response that the client can't read makes
it fail.
"""

import json
import sys

import ollama


def report(client, model):
    """What each call of the client gave."""
    messages = [{"role": "user", "content": "Why is the sky blue?"}]
    chunks = list(client.chat(model=model, messages=messages, stream=True))
    whole = client.chat(model=model, messages=messages)
    generated = client.generate(model=model, prompt="Why is the sky blue?")
    loaded = client.generate(model=model)
    shown = client.show(model)
    return {
        "models": [entry.model for entry in client.list().models],
        "parameter_count": shown.modelinfo["general.parameter_count"],
        "quantization": shown.details.quantization_level,
        "pieces": [chunk.message.content for chunk in chunks],
        "done": [bool(chunk.done) for chunk in chunks],
        "thinking": "".join(chunk.message.thinking or "" for chunk in chunks),
        "eval_count": chunks[-1].eval_count,
        "total_duration": chunks[-1].total_duration,
        "whole": whole.message.content,
        "generated": generated.response,
        "load_reason": loaded.done_reason,
    }


def missing(client):
    """The status of a model that isn't there."""
    try:
        client.show("not-there")
    except ollama.ResponseError as error:
        return error.status_code
    return None


def main():
    url, model = sys.argv[1:]
    client = ollama.Client(host=url, trust_env=False)
    print(json.dumps(report(client, model) | {"missing": missing(client)}))


if __name__ == "__main__":
    main()
