// River with a worker that does nothing: `river URL fill N`, `river URL work STARTS` or `river URL produce`.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

const (
	maxWorkers    = 2000
	fetchCooldown = 2 * time.Millisecond
	chunk         = 10_000
	flushEvery    = 100 * time.Millisecond
)

// Noop is the arguments of the one job kind.
type Noop struct{}

// Kind is what River stores as the job's kind.
func (Noop) Kind() string { return "noop" }

// starts writes the moment of each start, in microseconds, at most ten times a second and at the end.
type starts struct {
	mutex   sync.Mutex
	file    *os.File
	pending []byte
	flushed time.Time
}

func (s *starts) record() {
	now := time.Now()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.pending = append(strconv.AppendInt(s.pending, now.UnixMicro(), 10), '\n')
	if now.Sub(s.flushed) > flushEvery {
		s.flush()
		s.flushed = now
	}
}

func (s *starts) flush() {
	must(s.file.Write(s.pending))
	s.pending = s.pending[:0]
}

type noopWorker struct {
	river.WorkerDefaults[Noop]
	starts *starts
}

func (w *noopWorker) Work(context.Context, *river.Job[Noop]) error {
	w.starts.record()
	return nil
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Fatal("usage: river URL fill N | work STARTS | produce")
	}
	ctx := context.Background()
	pool := must(pgxpool.New(ctx, os.Args[1]))
	defer pool.Close()
	switch os.Args[2] {
	case "fill":
		fill(ctx, pool, must(strconv.Atoi(os.Args[3])))
	case "work":
		work(ctx, pool, os.Args[3])
	case "produce":
		produce(ctx, pool)
	default:
		log.Fatalf("%q is none of fill, work, produce", os.Args[2])
	}
}

// fill replaces all jobs by `count` new ones; makes River's tables first if they are missing.
func fill(ctx context.Context, pool *pgxpool.Pool, count int) {
	migrator := must(rivermigrate.New(riverpgxv5.New(pool), nil))
	must(migrator.Migrate(ctx, rivermigrate.DirectionUp, nil))
	must(pool.Exec(ctx, "TRUNCATE river_job"))
	client := must(river.NewClient(riverpgxv5.New(pool), config(nil)))
	for left := count; left > 0; left -= chunk {
		jobs := make([]river.InsertManyParams, min(left, chunk))
		for place := range jobs {
			jobs[place] = river.InsertManyParams{Args: Noop{}}
		}
		must(client.InsertManyFast(ctx, jobs))
	}
	must(pool.Exec(ctx, "VACUUM ANALYZE river_job"))
}

// work runs jobs until SIGTERM.
func work(ctx context.Context, pool *pgxpool.Pool, path string) {
	recorder := &starts{file: must(os.Create(path))}
	workers := river.NewWorkers()
	river.AddWorker(workers, &noopWorker{starts: recorder})
	client := must(river.NewClient(riverpgxv5.New(pool), config(workers)))
	ended, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	check(client.Start(ctx))
	<-ended.Done()
	check(client.Stop(ctx))
	recorder.flush()
}

// produce adds one job for each line on standard input, and answers with the moment before, in microseconds.
func produce(ctx context.Context, pool *pgxpool.Pool) {
	client := must(river.NewClient[pgx.Tx](riverpgxv5.New(pool), config(nil)))
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		before := time.Now().UnixMicro()
		must(client.Insert(ctx, Noop{}, nil))
		fmt.Println(before)
	}
}

func config(workers *river.Workers) *river.Config {
	made := &river.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if workers != nil {
		made.Workers = workers
		made.FetchCooldown = fetchCooldown
		made.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: maxWorkers}}
	}
	return made
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
