// The operator's verbs: what each does, to which jobs, and the filter that it needs for all that match. The server checks every one again.
export const VERBS = {
  "retry": {title: "Retry", of: ["failed"], does: "Failed jobs wait again, with their attempts at 0."},
  "run-now": {title: "Run now", of: ["pending"], does: "Jobs that are due later become due at once."},
  "cancel": {title: "Cancel", of: ["pending", "processing"], does: "Waiting jobs end as failed. Running ones lose their claim: what they return later is refused.", severe: true},
  "purge": {title: "Purge", of: ["completed", "failed"], does: "Ended jobs are deleted, with their results. This can't be undone.", severe: true, needs: "until"},
};

export function verbsFor(status) {
  return Object.entries(VERBS).filter(([, {of}]) => !status || of.includes(status));
}
