// Graphile Worker with a task that does nothing: `program.mjs URL fill N`, `... work STARTS` or `... produce`.
import { closeSync, openSync, writeSync } from "node:fs"
import { createRequire } from "node:module"
import { performance } from "node:perf_hooks"
import { createInterface } from "node:readline"

// The packages are in a cache outside the checkout: `require` looks in NODE_PATH, `import` does not.
const require = createRequire(import.meta.url)
const { Logger, makeWorkerUtils, run } = require("graphile-worker")
const pg = require("pg")

const LOCAL_QUEUE = 500
const CONCURRENT_JOBS = 24
const FLUSH_EVERY_MICROSECONDS = 100_000

const silent = new Logger(() => () => {})
const microseconds = () => Math.round((performance.timeOrigin + performance.now()) * 1000)

// Replaces all jobs by `count` new ones; makes Graphile Worker's tables first if they are missing.
async function fill(url, count) {
  const utils = await makeWorkerUtils({ connectionString: url, logger: silent })
  await utils.migrate()
  await utils.withPgClient(async (client) => {
    await client.query("TRUNCATE graphile_worker._private_jobs")
    await client.query(
      `SELECT count(*) FROM graphile_worker.add_jobs(ARRAY(
         SELECT json_populate_record(NULL::graphile_worker.job_spec, '{"identifier": "noop", "payload": {}}')
         FROM generate_series(1, $1::int)))`,
      [count],
    )
    await client.query("VACUUM ANALYZE graphile_worker._private_jobs")
  })
  await utils.release()
}

// Runs jobs until SIGTERM. The moment of each start goes to a file, in microseconds.
async function work(url, path) {
  const file = openSync(path, "w")
  let pending = []
  let flushed = 0
  const flush = () => {
    writeSync(file, pending.map((at) => `${at}\n`).join(""))
    pending = []
  }
  const noop = async () => {
    const now = microseconds()
    pending.push(now)
    if (now - flushed > FLUSH_EVERY_MICROSECONDS) {
      flush()
      flushed = now
    }
  }
  const runner = await run({
    connectionString: url,
    concurrency: CONCURRENT_JOBS,
    noHandleSignals: true,
    logger: silent,
    taskList: { noop },
    preset: { worker: { localQueue: { size: LOCAL_QUEUE }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
  })
  process.once("SIGTERM", () => void runner.stop())
  await runner.promise
  flush()
  closeSync(file)
}

// Adds one job for each line on standard input, and answers with the moment before, in microseconds.
async function produce(url) {
  const utils = await makeWorkerUtils({ pgPool: new pg.Pool({ connectionString: url }), logger: silent })
  for await (const _ of createInterface({ input: process.stdin })) {
    const before = microseconds()
    await utils.addJob("noop", {})
    process.stdout.write(`${before}\n`)
  }
  await utils.release()
  process.exit(0)
}

const [, , url, what, argument] = process.argv
const modes = { fill: () => fill(url, Number(argument)), work: () => work(url, argument), produce: () => produce(url) }
await modes[what]()
