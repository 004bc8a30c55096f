"""Changes of model files for the tests of what loading refuses."""

import json
import time
import warnings

import pytest
from fuzz_files import joined, split

import dnn
from dnn import ModelFormatError


def refusal(path):
    """The message of the error, which comes within a second."""
    start = time.perf_counter()
    with warnings.catch_warnings(), pytest.raises(ModelFormatError) as refused:
        warnings.simplefilter("error")
        dnn.load(path)
    assert time.perf_counter() - start < 1
    text = str(refused.value)
    assert text.startswith(f"{path} cannot be loaded: ") and text.endswith(".") and len(text) < 1000
    return text


def header_of(**entries):
    return lambda data: joined({**split(data)[0], **entries}, split(data)[1])


def edited(change):
    """A file whose document was changed by a function."""

    def edit(data):
        header, rest = split(data)
        document = json.loads(header["__metadata__"]["dnn"])
        change(document)
        header["__metadata__"]["dnn"] = json.dumps(document)
        return joined(header, rest)

    return edit


def put(*keys):
    """A file whose document has another value at a place: keys and indices, then the value."""
    *path, last, value = keys

    def change(document):
        for key in path:
            document = document[key]
        document[last] = value

    return edited(change)


def removed(*keys):
    *path, last = keys

    def change(document):
        for key in path:
            document = document[key]
        del document[last]

    return edited(change)


def array_entry(array, **entries):
    def edit(data):
        header, rest = split(data)
        header[array] = {**header[array], **entries}
        return joined(header, rest)

    return edit


def document_text(text):
    return header_of(__metadata__={"dnn": text})


def replaced(data, name, array):
    """A file with another array."""
    header, rest = split(data)
    begin, end = header[name]["data_offsets"]
    return joined(header, rest[:begin] + array.tobytes() + rest[end:])
