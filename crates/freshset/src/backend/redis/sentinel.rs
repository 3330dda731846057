//! Sentinel: the servers that know which of the Redis servers is the primary.
//!
//! All of them are asked at once, and what most of those that are there say counts. One that was cut off
//! from the others may still name the old primary.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{Client, ConnectionAddr, ErrorKind, IntoConnectionInfo as _, RedisError, RedisResult};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::backend::redis::connect::connect_one;
use crate::backend::redis::error::{Failure, NotPrimary};
use crate::backend::redis::options::{SentinelServers, TlsOptions};
use crate::backend::redis::url;

/// Where a server is, as a sentinel says.
type Address = (String, u16);

pub(super) struct Sentinel {
    sentinels: Vec<Asked>,
    master_name: String,
    servers: SentinelServers,
    tls: TlsOptions,
    /// Where the primary was when it was connected to.
    connected: Mutex<Option<Address>>,
}

/// One sentinel.
struct Asked {
    client: Client,
    /// Kept, because it is asked again and again.
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Sentinel {
    pub(super) fn new(
        sentinels: Vec<Client>,
        master_name: &str,
        servers: SentinelServers,
        tls: TlsOptions,
    ) -> Self {
        let asked = |client| Asked { client, connection: Mutex::default() };
        Self {
            sentinels: sentinels.into_iter().map(asked).collect(),
            master_name: master_name.to_owned(),
            servers,
            tls,
            connected: Mutex::default(),
        }
    }

    /// A client of the server that is the primary now.
    pub(super) async fn primary(&self, limit: Duration) -> Result<Client, Failure> {
        let address = self.named(limit).await?;
        let client = self.client_of(&address).map_err(Failure::Error)?;
        *self.connected.lock().await = Some(address);
        Ok(client)
    }

    /// Checks that the server that was connected to is still the one that is named. If no sentinel
    /// answers, it is.
    pub(super) async fn check_unchanged(&self, limit: Duration) -> Result<(), Failure> {
        let Ok(named) = self.named(limit).await else { return Ok(()) };
        if self.connected.lock().await.as_ref() == Some(&named) {
            return Ok(());
        }
        Err(Failure::NotPrimary(NotPrimary { role: "no longer primary for sentinel".to_owned() }))
    }

    /// The address that most sentinels name. Ends as soon as a majority of all agrees.
    async fn named(&self, limit: Duration) -> Result<Address, Failure> {
        let answers = self.sentinels.iter().map(|asked| asked.ask(&self.master_name, limit));
        let mut answers: FuturesUnordered<_> = answers.collect();
        let mut votes: HashMap<Address, usize> = HashMap::new();
        let mut failed = None;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(address) => {
                    let votes = votes.entry(address.clone()).or_default();
                    *votes += 1;
                    if *votes * 2 > self.sentinels.len() {
                        return Ok(address);
                    }
                }
                Err(failure) => failed = Some(failure),
            }
        }
        match votes.into_iter().max_by_key(|(_, votes)| *votes) {
            Some((address, _)) => Ok(address),
            None => Err(failed.unwrap_or(Failure::TimedOut(limit))),
        }
    }

    fn client_of(&self, (host, port): &Address) -> RedisResult<Client> {
        let (host, port) = (host.clone(), *port);
        let address = if self.servers.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let info = address.into_connection_info()?;
        let mut settings = info.redis_settings().clone().set_db(self.servers.database);
        if let Some(username) = &self.servers.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.servers.password {
            settings = settings.set_password(password);
        }
        let info = url::with_settings(info.set_redis_settings(settings), &self.tls);
        Client::open(info.map_err(|error| unusable(&error.to_string()))?)
    }
}

impl Asked {
    /// Asks where the primary is.
    async fn ask(&self, master_name: &str, limit: Duration) -> Result<Address, Failure> {
        let mut kept = self.connection.lock().await;
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => connect_one(&self.client, limit, limit).await?,
        };
        let question =
            redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master_name).take();
        let answer = timeout(limit, question.query_async(&mut connection)).await;
        let answer: RedisResult<Option<Address>> = answer.map_err(|_| Failure::TimedOut(limit))?;
        let address = answer.map_err(|error| Failure::of(error, limit))?;
        *kept = Some(connection);
        address
            .ok_or_else(|| Failure::Error(unusable("the sentinel knows no primary of this name")))
    }
}

fn unusable(detail: &str) -> RedisError {
    (ErrorKind::InvalidClientConfig, "sentinel", detail.to_owned()).into()
}
