"""Value tables: each text of a column gets one number, whatever the texts are; a flood of equal hashes costs little."""

import json

import numpy as np
import polars as pl

from billing.events.coded_texts import CodedRows
from billing.events.rows import Batch
from billing.sources.files.fast_ndjson import BATCH_ROWS
from billing.sources.files.ndjson import read_ndjson
from billing.sources.files.value_tables import FIRST_SLOTS, hash_of, view_of


def batches(users: list[str]) -> list[Batch]:
    """A line for each user, as it is read."""
    lines = [json.dumps({"user_id": user, "room_id": "r"}, ensure_ascii=False).encode() for user in users]
    content = b"\n".join(lines)
    return list(read_ndjson(content[at : at + (1 << 20)] for at in range(0, len(content), 1 << 20)))


def users_of(read: list[Batch]) -> list[str]:
    """The users of all lines."""
    return pl.concat(CodedRows(frame=each.frame, values=each.values).decoded() for each in read)["user_id"].to_list()


def test_texts_of_every_length_come_back_and_equal_ones_have_one_number() -> None:
    users = ["u" * length + "-" + str(number) for length in (0, 1, 9, 10, 11, 12, 30, 300) for number in range(3)]
    (read,) = batches(users * 3)
    assert users_of([read]) == users * 3
    assert read.values["user_id"].to_list() == users


def test_texts_that_differ_in_one_letter_have_numbers_of_their_own() -> None:
    users = ["a" * place + "b" + "a" * (29 - place) for place in range(30)] + ["a" * 30]
    (read,) = batches(users * 2)
    assert read.values["user_id"].to_list() == users
    assert users_of([read]) == users * 2


def test_many_values_make_the_tables_grow_and_the_next_batch_begins_anew() -> None:
    users = [f"user-number-{number}" for number in range(BATCH_ROWS)]
    read = batches(users + users[:5])
    assert len(read) > 1
    assert users_of(read) == users + users[:5]
    assert all(each.values["user_id"].n_unique() == len(each.values["user_id"]) for each in read)


def test_texts_whose_hashes_fall_on_one_slot_come_back_though_some_have_two_numbers() -> None:
    users = alike(100)
    (read,) = batches(users * 2)
    assert users_of([read]) == users * 2
    assert 100 < len(read.values["user_id"]) <= 200


def alike(count: int) -> list[str]:
    """Texts whose search begins at the same slot."""
    found: list[str] = []
    for number in range(count * 2 * FIRST_SLOTS):
        text = f"user-{number:020d}"
        content = np.frombuffer(text.encode(), np.uint8)
        if int(hash_of(content, *view_of(content, 0, len(content)))) % FIRST_SLOTS == 0:
            found.append(text)
            if len(found) == count:
                return found
    raise AssertionError("no texts are alike")
