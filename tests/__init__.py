"""The tests; a package, so that `tests.helpers` is this source tree's and no other's."""
