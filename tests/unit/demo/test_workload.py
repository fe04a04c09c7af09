from __future__ import annotations

import random
from collections import Counter
from uuid import uuid4

import pytest

from dev.demo.workload import ARCHIVE, ARCHIVE_BYTES, MALFORMED, make_jobs

FILES = {f"package/module{number}.py": 20_000 + number for number in range(600)}


@pytest.mark.parametrize("tenants", [1, 2, 20], ids=lambda count: f"{count} tenants")
@pytest.mark.parametrize("jobs", [50, 400, 3_000], ids=lambda count: f"{count} jobs")
def test_the_number_of_jobs_is_exact(jobs: int, tenants: int) -> None:
    made = make_jobs(jobs, [uuid4() for _ in range(tenants)], FILES, random.Random(1))

    assert len(made) == jobs
    assert len({job.id for job in made}) == jobs


def test_the_first_tenant_sends_nine_tenths_and_the_others_share_the_remaining_jobs() -> None:
    tenants = [uuid4() for _ in range(20)]

    by_tenant = Counter(job.tenant_id for job in make_jobs(3_000, tenants, FILES, random.Random(1)))

    assert by_tenant[tenants[0]] == 2_700
    assert {by_tenant[tenant] for tenant in tenants[1:]} == {15, 16}


def test_the_loud_tenant_is_inserted_first_so_that_fairness_shows() -> None:
    tenants = [uuid4() for _ in range(20)]

    made = make_jobs(3_000, tenants, FILES, random.Random(1))

    assert {job.tenant_id for job in made[:2_700]} == {tenants[0]}


def test_every_kind_of_malformed_payload_is_inserted_once() -> None:
    made = make_jobs(400, [uuid4()], FILES, random.Random(1))

    wrong = [(job.type, job.malformed) for job in made if job.malformed is not None]
    assert Counter(wrong) == Counter((bad.type, bad.error) for bad in MALFORMED)


def test_archives_are_long_work_and_differ() -> None:
    made = make_jobs(400, [uuid4()], FILES, random.Random(1))

    archives = {tuple(job.payload["files"]) for job in made if job.type == ARCHIVE and job.malformed is None}
    assert len(archives) > 1
    assert all(sum(FILES[name] for name in names) >= ARCHIVE_BYTES for names in archives)


def test_one_seed_gives_one_workload() -> None:
    tenants = [uuid4(), uuid4()]

    first, second = (make_jobs(200, tenants, FILES, random.Random(7)) for _ in range(2))

    assert first == second
    assert first != make_jobs(200, tenants, FILES, random.Random(8))
