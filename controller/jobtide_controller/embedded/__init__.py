"""`jobtide dev`: the controller's loop over workers that are processes of this machine, without Kubernetes.

command     the command's arguments, and its errors in one sentence
app         the composition root
folder      `.jobtide` of the working directory: one session at a time, and whose workers are its own
pools       JobWorkerPool objects from a file, or one for all types of the application
refusals    refuses what the API server would refuse, with the same words
workers     the port Workers: which processes run and which are gone
crew        one pool's processes: as many as decided, of the newest code
process     one worker as a child process; the guard that ends all when this process is killed
scaler      the ports Scaler and Writes
inspection  what the application has: types and files, or where its error is; in a process of its own
reload      looks at the application's files, and has workers replaced
console     what the command prints
lines       a worker's log lines as text
launch      a worker's command and environment, as its pool's pods get them
screen      the terminal: lines, and below them the table of the pools
demo        the application, pools and jobs of `jobtide dev --demo`
server      a PostgreSQL of the folder's own
programs    the programs of that PostgreSQL, and the account that runs them
"""
