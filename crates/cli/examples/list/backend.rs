//! A backend of PostgreSQL, and the CPU time that it takes.
//!
//! Linux only: by `/proc/PID/schedstat`.

use std::fs;
use std::thread;

use sqlx::PgConnection;

/// The only other one with this database: that of the service, whose pool has one connection.
const OF_THE_SERVICE: &str = "
    select pid from pg_stat_activity
    where datname = current_database() and backend_type = 'client backend'
      and pid not in (pg_backend_pid(), $1)";
/// Looks at a backend until it waits for its client. It has nothing left to do but a few system calls.
const LOOKS_MAX: usize = 1_000_000;

/// The process that serves one connection.
#[derive(Clone, Copy)]
pub(crate) struct Backend {
    pub(crate) pid: i32,
}

impl Backend {
    /// That of the pool, of which `relational` and the asking one are the others.
    pub(crate) async fn of_the_service(asking: &mut PgConnection, relational: Self) -> Self {
        let found = sqlx::query_scalar(OF_THE_SERVICE).bind(relational.pid).fetch_all(asking).await;
        let found: Vec<i32> = found.expect("the backends");
        let [pid] = found[..] else { panic!("the service has one connection, not {found:?}") };
        Self { pid }
    }

    /// The CPU time that it takes over this call, in nanoseconds.
    pub(crate) async fn cpu_of<T>(self, call: impl Future<Output = T>) -> u64 {
        let before = self.cpu();
        call.await;
        self.cpu() - before
    }

    /// In all, in nanoseconds. Exact only while it does not run.
    fn cpu(self) -> u64 {
        let is_asleep = || {
            let stat = self.read("stat");
            // Behind the name, which is in brackets and may hold anything.
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
        };
        let mut looks = 0;
        while !is_asleep() {
            looks += 1;
            assert!(looks < LOOKS_MAX, "the backend goes on working");
            thread::yield_now();
        }
        let times = self.read("schedstat");
        let running = times.split(' ').next().and_then(|time| time.parse().ok());
        running.expect("the time on a CPU")
    }

    fn read(self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.pid);
        fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("read {path} (Linux only): {error}"))
    }
}
