//! The composition root: the one place that names every concrete type.
//!
//! It builds the database and the cache first, then the modules in the order of the data flow. The port
//! is bound before that, so that a port in use fails the start.

mod audit;
mod cache;
mod console;
pub mod doctor;
mod drain;
mod gauges;
mod kafka;
mod key;
mod open_database;
mod redis;
mod retention;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use database::data_dir::{DataDir, DataDirLock};
use database::{DbError, LockWatch, ProcessLock, Repository};
use rdkafka::ClientConfig;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::audit::audit;
use self::cache::{cache_backend, cache_manager};
use self::console::console;
use self::drain::drain;
use self::gauges::{show_brokers, show_gauges, watch_dead_letters, watch_newer_documents};
use self::kafka::{consumer, kafka_options, relay};
use self::key::{ApiKey, auth, key};
use self::open_database::repository;
use self::retention::retention;
use crate::apply::EventProcessor;
use crate::audit::Auditor;
use crate::brokers::BrokerErrors;
use crate::cache::CacheManager;
use crate::cache::check::CacheCheck;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::console::ConsoleTask;
use crate::health::{ConsumerState, Health};
use crate::http::compressed_forms::CompressedForms;
use crate::http::limits::{BodyMemory, ReadLimits, WriteLimits};
use crate::http::server::tls::Tls;
use crate::http::server::{self, ServerLimits};
use crate::http::{self, ApiState};
use crate::ingest::IngestPipeline;
use crate::ingest::kafka::{KafkaConsumer, KafkaOptions, client_config};
use crate::live_lists::LiveLists;
use crate::metrics::Metrics;
use crate::newer_documents::NewerDocuments;
use crate::publish::{Relay, show_depth};
use crate::retention::Retention;

/// How long closing the database may take.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// First part of a start: everything that needs no server, and the port.
pub struct Start {
    config: Config,
    listener: std::net::TcpListener,
    tls: Option<Tls>,
    key: ApiKey,
    kafka: Option<KafkaOptions>,
    sqlite_dir: Option<DataDir>,
    lock: Option<DataDirLock>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    health: Health,
}

impl Start {
    /// Reads the files for Kafka and TLS, locks the data directory, reads or makes the key, and binds the port.
    ///
    /// # Errors
    ///
    /// If one of these fails.
    pub async fn new(config: &Config) -> anyhow::Result<Self> {
        let kafka = kafka_options(config)?;
        let tls = config.http.certificate_files().map(Tls::new).transpose()?;
        let data_dir = data_dir(config)?;
        let key = key(config)?;
        let sqlite_dir = data_dir.filter(|_| config.database_url.is_none());
        let lock = sqlite_dir.as_ref().map(DataDir::lock).transpose()?;
        let listener = TcpListener::bind(config.listen).await.with_context(|| {
            format!("listen on {} (choose another with --listen)", config.listen)
        })?;
        let health = Health::default();
        if kafka.is_some() {
            health.set_consumer(ConsumerState::Starting);
            health.set_publishes();
        }
        Ok(Self {
            config: config.clone(),
            listener: listener.into_std().context("convert the listener")?,
            tls,
            key,
            kafka,
            sqlite_dir,
            lock,
            clock: Arc::new(SystemClock::new()),
            metrics: Metrics::new(),
            health,
        })
    }

    /// The address of the server, with the port that was bound.
    ///
    /// # Errors
    ///
    /// If the system cannot report it.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        self.listener.local_addr().context("read the address of the listener")
    }

    /// Waits for the database, then builds the service. Meanwhile the server listens, and is live and not
    /// ready. None: stopped before.
    ///
    /// # Errors
    ///
    /// Non-transient errors. An unavailable Redis or Kafka is no error: reads bypass Redis, and the consumer
    /// and the publisher wait for Kafka.
    pub async fn connect(self, stop: &CancellationToken) -> anyhow::Result<Option<App>> {
        let connected = stop.child_token();
        // The same socket, so that no connection is refused in between.
        let listener = self.listener.try_clone().and_then(TcpListener::from_std);
        let router = http::starting_router(self.health.clone(), self.metrics.clone());
        let mut starting = JoinSet::new();
        starting.spawn(server::serve(
            listener.context("listen during the start")?,
            self.tls.clone(),
            router,
            ServerLimits::from(&self.config.http),
            connected.clone(),
        ));
        let app = tokio::select! {
            app = App::build(self) => app?,
            () = stop.cancelled() => return Ok(None),
        };
        connected.cancel();
        Ok(Some(App { starting, ..app }))
    }
}

/// The service, ready to run.
pub struct App {
    /// Connections that were accepted before the database was connected; they end by themselves.
    starting: JoinSet<()>,
    listener: TcpListener,
    tls: Option<Tls>,
    router: axum::Router,
    console: Option<ConsoleTask>,
    limits: ServerLimits,
    drain_delay: Duration,
    /// Closes the listener and the streams, and then all that is idle.
    close: CancellationToken,
    live_lists: LiveLists,
    consumer: Option<KafkaConsumer>,
    retention: Retention,
    relay: Option<Relay>,
    clock: Arc<dyn Clock>,
    repository: Arc<dyn Repository>,
    process_lock: Option<ProcessLock>,
    lock_watch: Arc<dyn LockWatch>,
    cache: CacheManager,
    cache_check: Option<CacheCheck>,
    auditor: Option<Auditor>,
    metrics: Metrics,
    health: Health,
    newer: NewerDocuments,
    errors: BrokerErrors,
    brokers: Option<ClientConfig>,
    key: ApiKey,
    dead_letter_bytes_max: u64,
    _data_dir_lock: Option<DataDirLock>,
}

impl App {
    /// Connects, migrates and builds every part.
    async fn build(start: Start) -> anyhow::Result<Self> {
        let Start { config, listener, tls, key, kafka, sqlite_dir, lock, clock, metrics, health } =
            start;
        let (config, kafka) = (&config, kafka.as_ref());
        let (repository, process_lock) =
            repository(config, sqlite_dir.as_ref(), &clock, &health).await?;
        if let Some(loose_modes) = sqlite_dir.as_ref().and_then(DataDir::loose_modes) {
            tracing::warn!("{loose_modes}");
        }
        let backend = cache_backend(config)?;
        let lock_watch = Arc::clone(&backend.lock_watch);
        let (cache, mut cache_check) = cache_manager(config, backend, &metrics, &health, &clock);
        if let Some(check) = &mut cache_check {
            check.before_first_event().await;
        }
        let (hit_sampler, auditor) = audit(config, &repository, &cache, &clock, &metrics, &health);
        let newer = NewerDocuments::new(Arc::clone(&clock), health.clone());
        let processor = EventProcessor::new(
            repository.clone(),
            cache.clone(),
            metrics.clone(),
            Arc::clone(&clock),
        )
        .with_health(health.clone())
        .with_newer_documents(newer.clone())
        .with_skip_before(config.publish.skip_before);
        if let Some(before) = config.publish.skip_before {
            tracing::info!(%before, "not publishing what is older than publish.skip_before");
        }
        let dead_letter_bytes_max =
            config.retention.dead_letters_megabytes.saturating_mul(1024 * 1024);
        let pipeline =
            IngestPipeline::new(processor, repository.clone(), metrics.clone(), Arc::clone(&clock))
                .with_dead_letter_bytes_max(dead_letter_bytes_max);
        let errors = BrokerErrors::new(Arc::clone(&clock), metrics.clone(), health.clone());
        let consumer = consumer(kafka, &repository, &pipeline, &clock, &errors, &health, &metrics)?;
        let relay = relay(kafka, &config.publish, repository.clone(), &clock, &metrics)?;
        let brokers = kafka.map(client_config);
        let retention = retention(config, kafka, &repository, &clock, &health, &metrics);
        let body_memory_bytes = config.http.body_memory_megabytes.saturating_mul(1024 * 1024);
        let close = CancellationToken::new();
        let live_lists = LiveLists::new(
            repository.clone(),
            config.http.streams_max(),
            close.clone(),
            metrics.clone(),
        );
        let (pages, console) =
            console(config, &repository, &cache, &pipeline, &clock, &metrics, &health)?;
        let state = ApiState {
            batches: repository.clone(),
            dead_letters: repository.clone(),
            outbox: repository.clone(),
            pipeline,
            cache: cache.clone(),
            live_lists: live_lists.clone(),
            audit: hit_sampler,
            compressed: CompressedForms::new(config.http.compressed_megabytes * 1024 * 1024),
            auth: auth(config, &key)?,
            metrics: metrics.clone(),
            health: health.clone(),
            newer: newer.clone(),
            reads: ReadLimits::new(config.http.read_timeout),
            writes: WriteLimits::new(config.http.events_wait, body_memory_bytes),
            dead_letter_memory: BodyMemory::new(body_memory_bytes),
            clock: Arc::clone(&clock),
            correlation_ids: Uuid::new_v4,
        };
        let router = http::router_beside(state, pages);
        Ok(Self {
            starting: JoinSet::new(),
            listener: TcpListener::from_std(listener).context("listen")?,
            tls,
            router,
            console,
            limits: ServerLimits::from(&config.http),
            drain_delay: config.http.drain_delay,
            close,
            live_lists,
            consumer,
            retention,
            relay,
            clock,
            repository,
            process_lock,
            lock_watch,
            cache,
            cache_check,
            auditor,
            metrics,
            health,
            newer,
            errors,
            brokers,
            key,
            dead_letter_bytes_max,
            _data_dir_lock: lock,
        })
    }

    /// The address of the server, with the port that was bound.
    ///
    /// # Errors
    ///
    /// If the system cannot report it.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        self.listener.local_addr().context("read the address of the listener")
    }

    /// The key that callers must send.
    pub fn key(&self) -> &SecretString {
        &self.key.secret
    }

    /// File of the key, if this start made it.
    pub fn new_key_path(&self) -> Option<&Path> {
        self.key.made_at.as_deref()
    }

    /// Runs until `stop` fires; then every part finishes its work under way. The server accepts requests for
    /// the setting `http.drain_delay_seconds` longer, and is not ready meanwhile.
    ///
    /// # Errors
    ///
    /// If it stopped by itself, because another process has taken the database.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut gauges = JoinSet::new();
        gauges.spawn(show_gauges(self.cache, self.health.clone(), self.metrics.clone()));
        if let Some(check) = self.cache_check {
            gauges.spawn(check.run());
        }
        if let Some(auditor) = self.auditor {
            gauges.spawn(auditor.run());
        }
        let mut lock = JoinSet::new();
        let close = self.close;
        gauges.spawn(self.live_lists.run());
        gauges.spawn(drain(stop.clone(), self.health.clone(), self.drain_delay, close.clone()));
        if let Some(process_lock) = self.process_lock {
            let stops = [stop.clone(), close.clone()];
            lock.spawn(stop_if_taken(process_lock, self.lock_watch, stops));
        }
        if let Some(brokers) = self.brokers {
            gauges.spawn(show_brokers(brokers, self.health.clone(), self.errors));
        }
        gauges.spawn(watch_newer_documents(self.newer, self.repository.clone()));
        gauges.spawn(watch_dead_letters(
            self.repository.clone(),
            self.dead_letter_bytes_max,
            Arc::clone(&self.clock),
            self.metrics.clone(),
            self.health.clone(),
        ));
        if let Some(console) = self.console {
            gauges.spawn(console.run(close.clone()));
        }
        if let Some(tls) = self.tls.clone() {
            gauges.spawn(tls.watch_files(Arc::clone(&self.clock), self.health.clone()));
        }
        let publishes = self.relay.is_some();
        gauges.spawn(show_depth(self.repository.clone(), self.clock, self.metrics, publishes));
        let serving = server::serve(self.listener, self.tls, self.router, self.limits, close);
        let consuming = async {
            if let Some(consumer) = self.consumer {
                consumer.run(stop.clone()).await;
            }
        };
        let publishing = async {
            if let Some(relay) = self.relay {
                relay.run(stop.clone()).await;
            }
        };
        tokio::join!(serving, consuming, publishing, self.retention.run(stop.clone()));
        gauges.abort_all();
        self.starting.join_all().await;
        if timeout(CLOSE_MAX, self.repository.close()).await.is_err() {
            tracing::warn!("timed out closing the database");
        }
        tracing::info!("stopped");
        // The task may have just asked for this stop and not have returned yet: it is aborted only if
        // it still waits.
        lock.abort_all();
        match lock.join_next().await {
            Some(Err(error)) if error.is_cancelled() => Ok(()),
            Some(taken) => Err(taken?).context("stopped: this process may not continue"),
            None => Ok(()),
        }
    }
}

/// Holds the lock of this process, and stops the process if another one takes it: entries cached here
/// could then be older than an event that the other process has acknowledged. So nothing is answered during
/// a drain.
async fn stop_if_taken(
    process_lock: ProcessLock,
    watch: Arc<dyn LockWatch>,
    stops: [CancellationToken; 2],
) -> DbError {
    let taken = process_lock.hold(watch).await;
    let cause = &taken as &dyn std::error::Error;
    tracing::error!(error = cause, "another process has taken the database, stopping");
    for stop in stops {
        stop.cancel();
    }
    taken
}

/// Directory of the files of the embedded mode; none if it has no files.
fn data_dir(config: &Config) -> anyhow::Result<Option<DataDir>> {
    let is_used = config.database_url.is_none() || config.internal_api_key.is_none();
    is_used.then(|| DataDir::create(&config.data_dir)).transpose()
}
