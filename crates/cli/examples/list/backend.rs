//! Backend process of PostgreSQL, and its CPU time.
//!
//! Linux only: it reads `/proc/PID/schedstat`.

use std::fs;
use std::thread;

use sqlx::PgConnection;

/// The only other backend of this database: that of the service, whose pool has one connection.
const FIND_SERVICE_BACKEND: &str = "
    select pid from pg_stat_activity
    where datname = current_database() and backend_type = 'client backend'
      and pid not in (pg_backend_pid(), $1)";
/// Polls until a backend waits for its client. It has only a few system calls left to do.
const POLLS_MAX: usize = 1_000_000;

/// The process that serves one connection.
#[derive(Clone, Copy)]
pub(crate) struct Backend {
    pub(crate) pid: i32,
}

impl Backend {
    /// The backend of the service: neither `relational` nor that of the asking connection.
    pub(crate) async fn of_the_service(asking: &mut PgConnection, relational: Self) -> Self {
        let found =
            sqlx::query_scalar(FIND_SERVICE_BACKEND).bind(relational.pid).fetch_all(asking).await;
        let found: Vec<i32> = found.expect("the backends");
        let [pid] = found[..] else { panic!("the service has one connection, not {found:?}") };
        Self { pid }
    }

    /// CPU time of the backend during this call, in nanoseconds.
    pub(crate) async fn cpu_of<T>(self, call: impl Future<Output = T>) -> u64 {
        let before = self.cpu();
        call.await;
        self.cpu() - before
    }

    /// CPU time so far, in nanoseconds. Exact only while the backend sleeps.
    fn cpu(self) -> u64 {
        let is_asleep = || {
            let stat = self.read("stat");
            // The state follows the name, which is in brackets and may contain anything.
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
        };
        let mut polls = 0;
        while !is_asleep() {
            polls += 1;
            assert!(polls < POLLS_MAX, "the backend does not become idle");
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
