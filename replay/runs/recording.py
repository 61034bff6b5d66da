"""Puts a run into its catalogue. Whatever is wrong with the catalogue never harms the run."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from replay.runs.catalogue import Catalogue, CatalogueError, catalogue_of, wait_for
from replay.runs.data_hash import data_sha256
from replay.runs.record import Run, identity_sha256


def record(run: Run, tell: Callable[[str], None], *, catalogue: Catalogue | None = None) -> Run | None:
    """Keep a run; return it with its number, or None where it could not be kept.

    Args:
        run: as `run_of` makes it.
        tell: told why it could not be kept.
        catalogue: where; that of its data when None.
    """
    where = catalogue or catalogue_of(run.spec.data)
    try:
        known = wait_for(where.known_hash(identity_sha256(run.identity)))
        hashed = known or data_sha256(run.spec.data, run.identity)
        return wait_for(where.add(msgspec.structs.replace(run, data_sha256=hashed)))
    except CatalogueError as error:
        tell(f"the run was not recorded: {error}")
        return None
