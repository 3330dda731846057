//! Apache Kafka for tests: one node, broker and controller in one (KRaft).
//!
//! No second broker, no dependency on a Kafka client. A topic is created without a
//! JVM (see `wire`).

mod secured;
mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use tokio::time::sleep;

use self::secured::{Secured, User};
use crate::certificates::Certificates;
use crate::guard::Signal;
use crate::server::{Server, data_directory, must, on_free_ports, run_tool, write_file};
use crate::{free_port, programs};

/// A start takes 2 s on an idle machine.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// Formatting the storage starts a JVM of its own, 1 s.
const FORMAT_TIMEOUT: Duration = Duration::from_secs(60);
/// A graceful stop takes 1 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// Creation of a topic, until each partition has a leader.
const TOPIC_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause between two checks for the leaders of a new topic.
const TOPIC_POLL: Duration = Duration::from_millis(10);

const BROKER_CONFIGURATION: &str = "server.properties";
const LOG_CONFIGURATION: &str = "log4j2.properties";
/// As in [`BROKER_PROPERTIES`].
const NODE_ID: i32 = 1;
/// Any 16 bytes in base64 will do: each broker is a cluster of its own.
const CLUSTER_ID: &str = "dGVzdGtpdC1jbHVzdGVyMQ";
/// A test broker holds a few thousand records; a start counts more than peak speed.
const JVM_OPTIONS: [&str; 4] =
    ["-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// Only warnings: they are shown when a start fails.
const LOG_PROPERTIES: &str = "\
status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{HH:mm:ss.SSS} %-5p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
";

/// For every broker; the ports and the caller's own lines follow.
const BROKER_PROPERTIES: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
log.dirs=data
# One broker: every topic has one copy, the internal ones as few partitions as possible.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
# How long a killed broker counts as alive: so long its next start has to wait.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# A group of one test needs no time for further members to turn up.
group.initial.rebalance.delay.ms=0
num.partitions=4
# Records carry the times of their events; an old one must not be deleted in a test.
log.retention.ms=-1
# Larger than any record with which a test tries a limit.
message.max.bytes=16777216
";

/// A running Kafka. Gone, with its data, when this is dropped.
pub struct Kafka {
    server: Server,
    port: u16,
    secured: Option<Secured>,
}

/// How a Kafka is started.
#[derive(Clone, Debug, Default)]
pub struct KafkaBuilder {
    creates_topics: bool,
    properties: Vec<(String, String)>,
    user: Option<User>,
}

impl Kafka {
    /// Starts one that knows only the topics of [`Kafka::create_topic`].
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// To choose properties.
    pub fn builder() -> KafkaBuilder {
        KafkaBuilder::default()
    }

    /// What a client calls `bootstrap.servers`.
    pub fn brokers(&self) -> String {
        self.address().to_string()
    }

    /// The brokers over TLS, for clients that show a certificate of the CA.
    ///
    /// # Panics
    ///
    /// Without [`KafkaBuilder::secured`].
    pub fn tls_brokers(&self) -> String {
        self.secured().tls_address().to_string()
    }

    /// The brokers over TLS, for the user, who logs in with PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    ///
    /// # Panics
    ///
    /// Without [`KafkaBuilder::secured`].
    pub fn sasl_brokers(&self) -> String {
        self.secured().sasl_address().to_string()
    }

    /// The certificates.
    ///
    /// # Panics
    ///
    /// Without [`KafkaBuilder::secured`].
    pub fn certificates(&self) -> &Certificates {
        self.secured().certificates()
    }

    fn secured(&self) -> &Secured {
        must(self.secured.as_ref().context("kafka was started without tls"))
    }

    /// Where it listens in plain text. Clients go where it advertises itself, so a proxy in between has no effect.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Creates a topic and waits until each of its partitions has a leader. It may exist already.
    ///
    /// # Panics
    ///
    /// If the broker refuses, or is not ready with it in time.
    pub async fn create_topic(&self, name: &str, partitions: u16) {
        let created = tokio::time::timeout(TOPIC_TIMEOUT, async {
            while !wire::create_topic(self.address(), name, partitions).await? {
                sleep(TOPIC_POLL).await;
            }
            while !wire::has_leaders(self.address(), name, partitions).await? {
                sleep(TOPIC_POLL).await;
            }
            anyhow::Ok(())
        });
        match created.await {
            Ok(created) => must(created),
            Err(_) => panic!("topic {name} has no leaders within {TOPIC_TIMEOUT:?}"),
        }
    }

    /// Stops it with SIGSTOP: connections stay open, nothing is answered.
    ///
    /// # Panics
    ///
    /// If the signal cannot be sent.
    pub async fn pause(&self) {
        must(self.server.pause().await);
    }

    /// Continues it after [`Kafka::pause`].
    ///
    /// # Panics
    ///
    /// If the signal cannot be sent.
    pub async fn resume(&self) {
        must(self.server.resume().await);
    }

    /// Takes it out of its own cluster until [`Kafka::restart`]: it answers, and says that there are no brokers,
    /// as one does that is fenced.
    ///
    /// # Panics
    ///
    /// If it refuses, or still names a broker after some time.
    pub async fn unregister(&self) {
        must(wire::unregister(self.address(), NODE_ID).await);
        let gone = tokio::time::timeout(TOPIC_TIMEOUT, async {
            while wire::answers(self.address()).await {
                sleep(TOPIC_POLL).await;
            }
        });
        must(gone.await.context("the broker still names itself"));
    }

    /// Ends it with SIGKILL. The data stays for [`Kafka::restart`].
    ///
    /// # Panics
    ///
    /// If it does not end.
    pub async fn kill(&self) {
        must(self.server.kill().await);
    }

    /// Kills it if it runs, and starts it on the same port and data.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn restart(&self) {
        must(self.server.kill().await);
        must(self.run().await);
    }

    /// Lets it finish what it is doing, and starts it on the same port and data.
    ///
    /// # Panics
    ///
    /// If it does not stop or start.
    pub async fn restart_gracefully(&self) {
        must(self.server.end(Signal::Terminate, STOP_TIMEOUT).await);
        must(self.run().await);
    }

    async fn run(&self) -> anyhow::Result<()> {
        let address = self.address();
        self.server.start(START_TIMEOUT, async || wire::answers(address).await).await
    }
}

impl KafkaBuilder {
    /// Lets a producer or consumer create a topic by naming it.
    #[must_use]
    pub fn creates_topics(mut self) -> Self {
        self.creates_topics = true;
        self
    }

    /// Sets a property of the broker, such as `num.partitions` to `12`.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Listens over TLS too: [`Kafka::tls_brokers`], and [`Kafka::sasl_brokers`] for this user.
    #[must_use]
    pub fn secured(mut self, username: &str, password: &str) -> Self {
        self.user = Some(User { name: username.to_owned(), password: password.to_owned() });
        self
    }

    /// Starts it and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start(self) -> Kafka {
        must(self.try_start().await)
    }

    /// Starts it and waits until it answers.
    ///
    /// # Errors
    ///
    /// The program is missing or does not start; the error has the end of its log.
    pub async fn try_start(self) -> anyhow::Result<Kafka> {
        on_free_ports(async || self.start_at(free_port(), free_port()).await).await
    }

    async fn start_at(&self, port: u16, controller_port: u16) -> anyhow::Result<Kafka> {
        // Both before the directory, which is removed only after a server owns it.
        let (mut command, mut format) = (java("kafka.Kafka")?, java("kafka.tools.StorageTool")?);
        command.arg(BROKER_CONFIGURATION);
        format.args(["format", "-t", CLUSTER_ID, "-c", BROKER_CONFIGURATION]);
        let directory = data_directory("kafka", None)?;
        let server = Server::new("kafka", directory, command, None, Signal::Kill)?;
        let mut properties = Properties::new(port, controller_port);
        let secured = match &self.user {
            Some(user) => {
                format.args(user.arguments());
                Some(Secured::prepare(server.directory(), user, &mut properties)?)
            }
            None => None,
        };
        let properties = properties.text(self);
        write_file(server.directory(), BROKER_CONFIGURATION, &properties)?;
        write_file(server.directory(), LOG_CONFIGURATION, LOG_PROPERTIES)?;
        format.current_dir(server.directory());
        run_tool(format, FORMAT_TIMEOUT).await?;
        let kafka = Kafka { server, port, secured };
        kafka.run().await?;
        Ok(kafka)
    }
}

/// The file of a broker's properties.
struct Properties {
    listeners: Vec<String>,
    controller: SocketAddr,
    more: String,
}

impl Properties {
    fn new(port: u16, controller_port: u16) -> Self {
        let controller = SocketAddr::from((Ipv4Addr::LOCALHOST, controller_port));
        let listeners = vec![format!("PLAINTEXT://{}:{port}", Ipv4Addr::LOCALHOST)];
        Self { listeners, controller, more: String::new() }
    }

    fn add(&mut self, name: &str, value: &str) {
        self.more.push_str(&format!("{name}={value}\n"));
    }

    fn text(mut self, builder: &KafkaBuilder) -> String {
        let (listeners, controller) = (self.listeners.join(","), self.controller);
        self.add("controller.quorum.voters", &format!("1@{controller}"));
        self.add("listeners", &format!("{listeners},CONTROLLER://{controller}"));
        self.add("advertised.listeners", &listeners);
        self.add("auto.create.topics.enable", &builder.creates_topics.to_string());
        for (name, value) in &builder.properties {
            self.add(name, value);
        }
        format!("{BROKER_PROPERTIES}{}", self.more)
    }
}

fn java(main_class: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(programs::java()?);
    command.args(JVM_OPTIONS).arg(format!("-Dlog4j2.configurationFile={LOG_CONFIGURATION}"));
    command.arg("-cp").arg(programs::kafka_libs()?.join("*")).arg(main_class);
    Ok(command)
}
