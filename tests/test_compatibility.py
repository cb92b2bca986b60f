"""docs/compatibility.md says what there is, and there is what programs use."""

from tests import compatibility_table as table


def test_the_page_lists_what_there_is() -> None:
    assert table.PAGE.read_text() == table.page(), "write it again: python -m tests.compatibility_table"


def test_names_that_a_fifth_of_the_repositories_use_are_all_there() -> None:
    assert [sum(map(len, table.tier(n))) for n in (1, 2)] == [57, 123]
    assert not [name for number in (1, 2) for name in table.tier(number)[1]]


def test_of_names_that_two_repositories_use_95_percent_are_there() -> None:
    there, absent = table.tier(3)
    assert len(there) >= 0.95 * (len(there) + len(absent)), absent


def test_arrays_have_the_methods_that_programs_use() -> None:
    x = table.fnp.zeros((2, 2))
    for name in table.NAMES["methods"]:
        if name.startswith(".at[]."):
            assert hasattr(x.at[0], name.removeprefix(".at[].")), name
        elif name.startswith(".") and not name.startswith(".def"):  # of custom derivatives
            assert hasattr(x, name[1:]), name
