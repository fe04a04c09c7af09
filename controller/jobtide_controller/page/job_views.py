"""Handlers of tenants and jobs: tenants from the controller's memory, jobs from the database as an operator sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from aiohttp import web

from jobtide.operate.filters import FIELDS, FilterRefused, JobFilter
from jobtide.operate.read import JobLine, list_jobs, show_job
from jobtide.operate.session import Connection
from jobtide.operate.why import PoolFacts, why
from jobtide_controller.loop.pools import PoolEntry
from jobtide_controller.page import documents, job_documents
from jobtide_controller.page.depths import Depths, Total
from jobtide_controller.page.desk import Desk, refused
from jobtide_controller.page.failures import RecentFailures
from jobtide_controller.page.feed import Published
from jobtide_controller.page.job_rights import JobRights
from jobtide_controller.page.limits import in_force_of
from jobtide_controller.page.problems import problem
from jobtide_controller.page.views import Views, limiting_of
from jobtide_controller.pool_facts import pool_facts

LIMIT, LIMIT_MAX = 50, 200
SEEN_MAX = 150  # jobs of one creation time that a list goes through page by page
ID_CHARACTERS = 64

_LAST = datetime.max.replace(tzinfo=UTC)


class JobViews:
    """Every handler finds the viewer's rights first."""

    def __init__(self, views: Views, desk: Desk) -> None:
        self._views = views
        self._desk = desk
        self._failures = RecentFailures(desk)

    async def tenants(self, request: web.Request) -> web.Response:
        """The tenants of a database with the most waiting jobs."""
        database, may, depths, entries, published = await self._tenants_of(request, request.query.get("database", ""))
        types = frozenset(depths.by_type) & may.types if not may.all else frozenset(depths.by_type)
        slots = sum(_slots(entry, published) for entry in entries)
        failed = await self._failed(database, may)
        limiting = limiting_of(published, database)
        rows = job_documents.tenant_rows(entries, depths, types, slots, failed, limiting)
        return web.json_response({"database": database} | rows)

    async def tenant(self, request: web.Request) -> web.Response:
        """One tenant by pool and type."""
        found = await self._tenants_of(request, request.match_info["database"])
        database, may, depths, entries, published = found
        tenant = str(_uuid(request.match_info["tenant"]))
        total = Total()
        for type_, part in depths.of_tenant(tenant, list(depths.by_type)).items():
            if may.allows(type_):
                total.add_total(part)
        slots = sum(_slots(entry, published) for entry in entries)
        failed = await self._failed(database, may)
        limits = in_force_of(entries, [tenant], limiting_of(published, database))
        row = job_documents.tenant_row(tenant, total, limits, slots, failed)
        parts = job_documents.tenant_parts(tenant, entries, depths, may.allows, limits)
        return web.json_response({"database": database, "row": row, "parts": parts})

    async def jobs(self, request: web.Request) -> web.Response:
        """A page of jobs that match the filters, the newest first."""
        query = request.query
        database = query.get("database", "")
        published, rights = await self._views.seen(request)
        may = JobRights(published, rights, database, "list")
        which = may.narrowed(filter_of({name: query[name] for name in FIELDS if name in query}))
        limit = _limit(query.get("limit"))
        cursor = _Cursor.of(query.get("after"))
        asked = cursor.narrowed(which)

        def work(connection: Connection) -> Mapping[str, object]:
            listing = list_jobs(connection, asked, limit=limit + len(cursor.seen))
            new = [job for job in cursor.rest(listing.jobs) if may.allows(job.type)]
            shown = new[:limit]
            following = _Cursor()
            if shown and (listing.has_more or len(new) > limit):
                following = cursor.after(shown)
            elif len(listing.cuts) == 1 and which.status is not None:
                following = _Cursor(datetime.fromisoformat(listing.cuts[0].back_to))
            return {
                "jobs": [job_documents.job_row(job) for job in shown],
                "next": following.text(),
                "note": job_documents.listing_note(listing),
            }

        return web.json_response(await self._desk.ask(database, work))

    async def job(self, request: web.Request) -> web.Response:
        """One job, with why it waits; its payload only if it is asked for and allowed."""
        published, rights = await self._views.seen(request)
        database, id_ = request.match_info["database"], _uuid(request.match_info["id"])
        may = JobRights(published, rights, database, "list")
        may.check_any()
        payloads = JobRights(published, rights, database, "payloads")
        asked = request.query.get("payload") == "1"
        facts = _facts(published, database)

        def work(connection: Connection) -> str:
            detail = show_job(connection, id_, with_payload=asked and payloads.any)
            if detail is None or not may.allows(detail.line.type):
                raise problem(404, f"there is no job {id_} that you may see", None)
            is_shown = asked and payloads.allows(detail.line.type)
            found = why(connection, id_, facts)
            return job_documents.job_text(detail, found, shows_payload=is_shown)

        text = await self._desk.ask(database, work)
        return web.Response(text=text, content_type="application/json")

    async def _failed(self, database: str, may: JobRights) -> job_documents.Failed:
        found = await self._failures.of(database)
        if found is None:
            return job_documents.Failed()
        return job_documents.Failed(found.by_tenant(may.allows), found.capped)

    async def _tenants_of(
        self, request: web.Request, database: str
    ) -> tuple[str, JobRights, Depths, list[PoolEntry], Published]:
        published, rights = await self._views.seen(request)
        may = JobRights(published, rights, database, "list")
        may.check_any()
        if not self._views.shows_tenants(published, rights, database):
            raise problem(
                403,
                f"the tenants of database {database[:80]} are not shown",
                "ask the administrator to set databases.NAME.showTenants or .operatorSecretName in the chart",
            )
        depths = published.depths.get(database)
        if depths is None:
            raise problem(503, f"database {database[:80]} can't be read", "its pools say why")
        pools = published.snapshot.pools
        entries = [entry for entry in pools if entry.database == database and entry.ref.namespace in rights.sees]
        return database, may, depths, entries, published


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Where the last page ended: a creation time, and the jobs of that time that were shown.

    Jobs of one bulk insert have one creation time, and come in no order.
    """

    at: datetime | None = None
    seen: frozenset[str] = frozenset()

    @classmethod
    def of(cls, text: str | None) -> _Cursor:
        """Reads what `text` has written. Raises the refusal."""
        if not text:
            return cls()
        try:
            at, _, seen = text.partition("~")
            moment = datetime.fromisoformat(at)
            in_time = moment.tzinfo is not None and moment.astimezone(UTC) < _LAST
            ids = frozenset(str(UUID(hex=hexadecimal)) for hexadecimal in filter(None, seen.split(",")))
        except (ValueError, OverflowError):
            raise problem(400, "after is none of the cursors that this page gives", "leave it out") from None
        if not in_time or len(ids) > SEEN_MAX:
            raise problem(400, "after is none of the cursors that this page gives", "leave it out")
        return cls(moment.astimezone(UTC), ids)

    def text(self) -> str | None:
        """For a URL; None: there is nothing to continue from."""
        if self.at is None:
            return None
        return f"{self.at.isoformat()}~{','.join(sorted(UUID(id_).hex for id_ in self.seen))}"

    def narrowed(self, which: JobFilter) -> JobFilter:
        """From the last creation time on, once more."""
        if self.at is None or which.id is not None:
            return which
        until = self.at + timedelta(microseconds=1)
        return replace(which, until=until if which.until is None else min(until, which.until))

    def rest(self, jobs: Iterable[JobLine]) -> list[JobLine]:
        """The jobs that were not shown yet."""
        return [job for job in jobs if job.id not in self.seen]

    def after(self, shown: Sequence[JobLine]) -> _Cursor:
        """Where the next page begins. It leaves out the rest of a creation time that more than SEEN_MAX jobs have."""
        last = _at(shown[-1])
        if last is None:
            return _Cursor()
        same = {job.id for job in shown if _at(job) == last}
        if last == self.at:
            same |= self.seen
        if len(same) > SEEN_MAX:
            return _Cursor(last - timedelta(microseconds=1))
        return _Cursor(last, frozenset(same))


def filter_of(values: Mapping[str, str]) -> JobFilter:
    """The filter of a URL or a request. Raises the refusal."""
    try:
        return JobFilter.of(values, datetime.now(UTC))
    except FilterRefused as error:
        raise refused(error) from None


def _facts(published: Published, database: str) -> list[PoolFacts]:
    found = []
    for entry in published.snapshot.pools:
        if entry.database == database and entry.refusal is None:
            row = documents.pool_row(entry, published.snapshot.databases.get(database), None)
            spec, status = documents.spec_of(entry), documents.status_of(entry)
            desired, ready = row["desired"], row["ready"]
            found.append(pool_facts(str(entry.ref), entry.types, spec, status, desired=desired, ready=ready))
    return found


def _slots(entry: PoolEntry, published: Published) -> int:
    row = documents.pool_row(entry, published.snapshot.databases.get(entry.database), None)
    slots: int = row["ready"] * documents.spec_of(entry).get("concurrency", 4)
    return slots


def _at(job: JobLine) -> datetime | None:
    text = job.created_at
    return None if text is None or text.endswith("infinity") else datetime.fromisoformat(text)


def _limit(text: str | None) -> int:
    if text is None:
        return LIMIT
    if not (text.isascii() and text.isdigit() and len(text) < ID_CHARACTERS and 0 < int(text) <= LIMIT_MAX):
        raise problem(400, "limit is no number of jobs", f"give one from 1 to {LIMIT_MAX}")
    return int(text)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise problem(404, f"{text[:ID_CHARACTERS]} is no UUID") from None
