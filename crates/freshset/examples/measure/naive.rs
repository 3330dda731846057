//! The naive cache: an entry with a TTL, and a SET of the owner's entry keys.
//!
//! A fill stores the entry and adds its key to the SET; an invalidation deletes what the SET lists, and
//! the SET. There is no generation. Each step is a method of its own, so that a measurement may put
//! something between two.

use std::time::Duration;

use redis::aio::MultiplexedConnection;

use crate::Result;
use crate::server::Server;

/// Longer than any measurement: only invalidations remove entries here.
const ENTRY_TTL: Duration = Duration::from_secs(300);

/// Lists and deletes in one step.
const INVALIDATE: &str = "
local members = redis.call('SMEMBERS', KEYS[1])
for _, member in ipairs(members) do redis.call('DEL', member) end
return redis.call('DEL', KEYS[1])";

/// A naive cache of one owner. Its entries are numbers, as in every database here.
#[derive(Clone)]
pub(crate) struct Naive {
    connection: MultiplexedConnection,
    owner: String,
}

impl Naive {
    pub(crate) fn new(server: &Server, owner: &str) -> Self {
        Self { connection: server.admin(), owner: owner.to_owned() }
    }

    pub(crate) fn index_key(&self) -> String {
        index_key(&self.owner)
    }

    pub(crate) fn entry_key(&self, entry: &str) -> String {
        entry_key(&self.owner, entry)
    }

    pub(crate) async fn get(&self, entry: &str) -> Result<Option<u64>> {
        let command = redis::Cmd::get(self.entry_key(entry));
        Ok(command.query_async(&mut self.connection.clone()).await?)
    }

    /// Stores an entry, both commands in one transaction.
    pub(crate) async fn fill(&self, entry: &str, number: u64) -> Result<()> {
        let (store, list) = fill_commands(&self.owner, entry, &number.to_string());
        let mut transaction = redis::pipe();
        transaction.atomic().add_command(store).add_command(list);
        let _: (String, u64) = transaction.query_async(&mut self.connection.clone()).await?;
        Ok(())
    }

    /// The first step of an invalidation.
    pub(crate) async fn members(&self) -> Result<Vec<String>> {
        let command = redis::Cmd::smembers(self.index_key());
        Ok(command.query_async(&mut self.connection.clone()).await?)
    }

    /// The second step of an invalidation.
    pub(crate) async fn delete(&self, members: &[String]) -> Result<()> {
        let keys: Vec<String> = members.iter().cloned().chain([self.index_key()]).collect();
        let command = redis::Cmd::del(keys);
        Ok(command.query_async(&mut self.connection.clone()).await?)
    }

    /// Both steps of an invalidation in one.
    pub(crate) async fn invalidate(&self) -> Result<()> {
        let command = redis::cmd("EVAL").arg(INVALIDATE).arg(1).arg(self.index_key()).take();
        Ok(command.exec_async(&mut self.connection.clone()).await?)
    }
}

/// The two commands of a fill: store, then list.
pub(crate) fn fill_commands(owner: &str, entry: &str, content: &str) -> (redis::Cmd, redis::Cmd) {
    let key = entry_key(owner, entry);
    let store = redis::Cmd::set_ex(&key, content, ENTRY_TTL.as_secs());
    (store, redis::Cmd::sadd(index_key(owner), key))
}

fn index_key(owner: &str) -> String {
    format!("naive:i:{owner}")
}

fn entry_key(owner: &str, entry: &str) -> String {
    format!("naive:e:{owner}:{entry}")
}
