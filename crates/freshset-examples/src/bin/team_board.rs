//! A board that shows a team, its projects and their leads: an entry with many owners, most of which only
//! its loader finds.
//!
//! ```sh
//! REDIS_URL=redis://127.0.0.1:6379 cargo run -p freshset-examples --bin team_board
//! ```
//!
//! Several URLs, separated by commas, name servers of a Cluster, where the owners of the board are in
//! different slots. Without `REDIS_URL` the cache is in the memory of this process.

use std::collections::BTreeMap;
use std::env;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use freshset::backend::memory::MemoryBackend;
use freshset::backend::redis::{RedisBackend, RedisOptions};
use freshset::{Answer, Cache, Dependencies, EntryKey, KeyError, Namespace, Owner, Owners, Source};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let boards = Boards { cache: connect_cache()?, database: Mutex::new(Database::example()) };
    boards.show("first read").await?;
    boards.show("second read").await?;

    boards.database().names.insert("u2", "Hedy");
    boards.acknowledge_after_invalidating(&[user("u2")?]).await?;
    boards.show("a lead has another name").await?;

    boards.database().projects.insert("p2", ("Rollout", "u1"));
    boards.acknowledge_after_invalidating(&[project("p2")?]).await?;
    boards.show("a project has another lead").await?;

    // u2 leads no project of the board any more: its changes cost nothing here.
    boards.database().names.insert("u2", "Joan");
    boards.acknowledge_after_invalidating(&[user("u2")?]).await?;
    boards.show("somebody else has another name").await?;

    boards.database().teams.insert("red", vec!["p1"]);
    boards.acknowledge_after_invalidating(&[team("red")?, project("p2")?]).await?;
    boards.show("a project has left the team").await?;
    Ok(())
}

fn connect_cache() -> anyhow::Result<Cache> {
    let Ok(urls) = env::var("REDIS_URL") else { return Ok(Cache::new(MemoryBackend::new())) };
    let options = RedisOptions::new(Namespace::new("boards")?);
    let backend = match urls.split(',').collect::<Vec<_>>().as_slice() {
        [one] => RedisBackend::new(one, options)?,
        some_servers => RedisBackend::cluster(some_servers, options)?,
    };
    Ok(Cache::new(backend))
}

fn team(id: &str) -> Result<Owner, KeyError> {
    Owner::new("team", id)
}

fn project(id: &str) -> Result<Owner, KeyError> {
    Owner::new("project", id)
}

fn user(id: &str) -> Result<Owner, KeyError> {
    Owner::new("user", id)
}

/// Stands for the tables of a database.
struct Database {
    teams: BTreeMap<&'static str, Vec<&'static str>>,
    /// Title and lead.
    projects: BTreeMap<&'static str, (&'static str, &'static str)>,
    names: BTreeMap<&'static str, &'static str>,
}

impl Database {
    fn example() -> Self {
        Self {
            teams: BTreeMap::from([("red", vec!["p1", "p2"])]),
            projects: BTreeMap::from([("p1", ("Search", "u1")), ("p2", ("Rollout", "u2"))]),
            names: BTreeMap::from([("u1", "Ada"), ("u2", "Barbara")]),
        }
    }
}

struct Boards {
    cache: Cache,
    database: Mutex<Database>,
}

impl Boards {
    async fn board(&self, id: &'static str) -> anyhow::Result<Answer> {
        // Known beforehand. The team is the home, because it is in every board of the team.
        let owners = Owners::of(&team(id)?);
        let key = EntryKey::of("board")?;
        let load = async |dependencies: Dependencies| self.load(id, &dependencies).await;
        Ok(self.cache.entry(owners, &key).get_or_load_with(load).await?)
    }

    /// Names each owner before it reads what belongs to it.
    async fn load(&self, id: &str, dependencies: &Dependencies) -> anyhow::Result<Bytes> {
        let projects = self.database().teams.get(id).cloned().unwrap_or_default();
        let mut lines = Vec::new();
        for id in projects {
            dependencies.depend_on(&project(id)?).await;
            let (title, lead) = self.database().projects.get(id).copied().unwrap_or_default();
            dependencies.depend_on(&user(lead)?).await;
            let name = self.database().names.get(lead).copied().unwrap_or_default();
            lines.push(format!("{title} ({name})"));
        }
        Ok(lines.join(", ").into())
    }

    /// The change is in the database. What returns without an error may be acknowledged.
    async fn acknowledge_after_invalidating(&self, owners: &[Owner]) -> anyhow::Result<()> {
        for invalidated in self.cache.invalidate_all(owners).await {
            invalidated?;
        }
        Ok(())
    }

    async fn show(&self, what: &str) -> anyhow::Result<()> {
        let answer = self.board("red").await?;
        let source = if answer.source == Source::Hit { "hit" } else { "loaded" };
        println!("{what}: {} [{source}]", String::from_utf8_lossy(&answer.bytes));
        Ok(())
    }

    fn database(&self) -> MutexGuard<'_, Database> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
