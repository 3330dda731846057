//! A real Chromium, driven over WebDriver: the few commands that the tests need.
//!
//! Not by a crate: one client turns on a feature of serde_json for the program under test, the other needs a
//! licence that `deny.toml` does not allow. The protocol is JSON over HTTP.

use reqwest::{Client, Method};
use serde_json::{Value, json};
use testkit::{Process, programs};

use super::common::TIMEOUT;
use super::http::http_client;

const AXE: &str = include_str!("../../axe/axe.min.js");

/// A browser. Gone when this is dropped.
pub(crate) struct Chromium {
    http: Client,
    session: String,
    _driver: Process,
}

impl Chromium {
    pub(crate) async fn start() -> Self {
        let program = programs::chromedriver().expect("a driver of Chromium");
        let driver = Process::builder(program).arg("--port=0").start().await;
        let line = driver.wait_for_line("started successfully on port", TIMEOUT).await;
        let port = line.trim_end_matches('.').rsplit(' ').next().expect("a port").to_owned();
        let base = format!("http://127.0.0.1:{port}/session");
        let options = json!({
            "binary": programs::chromium().expect("a Chromium"),
            // No sandbox: it does not start as root, as which containers run tests.
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        });
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": options,
        }}});
        let http = http_client();
        let session = send(&http, Method::POST, &base, wanted).await;
        let id = session["sessionId"].as_str().expect("a session");
        Self { session: format!("{base}/{id}"), http, _driver: driver }
    }

    pub(crate) async fn open(&self, url: &str) {
        self.command("/url", json!({"url": url})).await;
    }

    pub(crate) async fn url(&self) -> String {
        let url =
            send(&self.http, Method::GET, &format!("{}/url", self.session), Value::Null).await;
        url.as_str().expect("a text").to_owned()
    }

    /// The result of this body of a function.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.command("/execute/sync", json!({"script": script, "args": []})).await
    }

    /// Whether the text is to be seen on the page.
    pub(crate) async fn shows(&self, text: &str) -> bool {
        let shown = self.run("return document.body.innerText").await;
        shown.as_str().is_some_and(|shown| shown.contains(text))
    }

    /// A click as of a mouse: on an element that can be seen.
    pub(crate) async fn click(&self, css: &str) {
        let element = self.element(css).await;
        self.command(&format!("/element/{element}/click"), json!({})).await;
    }

    pub(crate) async fn type_into(&self, css: &str, text: &str) {
        let element = self.element(css).await;
        self.command(&format!("/element/{element}/value"), json!({"text": text})).await;
    }

    pub(crate) async fn set_width(&self, width: u32) {
        self.command("/window/rect", json!({"width": width, "height": 900})).await;
    }

    pub(crate) async fn set_color_scheme(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        let command =
            json!({"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}});
        self.command("/goog/cdp/execute", command).await;
    }

    /// What axe finds on this page, for people.
    pub(crate) async fn accessibility_faults(&self) -> Value {
        self.accessibility_faults_in(json!({})).await
    }

    /// The same, without these elements and what is in them.
    pub(crate) async fn accessibility_faults_outside(&self, css: &str) -> Value {
        self.accessibility_faults_in(json!({"exclude": [css]})).await
    }

    async fn accessibility_faults_in(&self, context: Value) -> Value {
        self.run(AXE).await;
        let script = "const [context, done] = arguments; axe.run(context).then(
            found => done(found.violations.map(fault => [
                fault.id, fault.nodes.map(node => node.html + ' ' + node.failureSummary)])))";
        self.command("/execute/async", json!({"script": script, "args": [context]})).await
    }

    /// Errors and warnings in the console of the browser since the last call.
    pub(crate) async fn errors(&self) -> Vec<String> {
        let log = self.command("/se/log", json!({"type": "browser"})).await;
        let lines = log.as_array().into_iter().flatten();
        let is_wrong = |line: &&Value| line["level"] == "SEVERE" || line["level"] == "WARNING";
        lines.filter(is_wrong).map(|line| line["message"].to_string()).collect()
    }

    /// Ends the browser. Not on a drop, which cannot wait.
    pub(crate) async fn close(self) {
        send(&self.http, Method::DELETE, &self.session, Value::Null).await;
    }

    async fn element(&self, css: &str) -> String {
        let by = json!({"using": "css selector", "value": css});
        let found = self.command("/element", by).await;
        let id = found.as_object().and_then(|found| found.values().next()?.as_str());
        id.expect("an element").to_owned()
    }

    async fn command(&self, path: &str, body: Value) -> Value {
        send(&self.http, Method::POST, &format!("{}{path}", self.session), body).await
    }
}

async fn send(http: &Client, method: Method, url: &str, body: Value) -> Value {
    let request = http.request(method, url);
    let request = if body.is_null() { request } else { request.json(&body) };
    let answer = request.send().await.expect("an answer of the driver");
    let is_success = answer.status().is_success();
    let mut answer: Value = answer.json().await.expect("JSON of the driver");
    let value = answer["value"].take();
    assert!(is_success, "{url}: {value}");
    value
}
