//! The operator's console, over HTTP on the real service, as a browser uses it.

mod access;
mod browser;
mod bulk;
mod pages;
mod streams;
mod teacher;

use reqwest::header::{HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, StatusCode};

use crate::support::http::http_client;
use crate::support::service::ServiceBuilder;

const OPERATOR: &str = "operator-token-of-tests";
const VIEWER: &str = "viewer-token-of-tests";

/// With a console that needs a login.
fn with_tokens(builder: ServiceBuilder) -> ServiceBuilder {
    builder
        .variable("RAS_CONSOLE__OPERATOR_TOKEN", OPERATOR)
        .variable("RAS_CONSOLE__VIEWER_TOKEN", VIEWER)
}

/// A browser: it follows no redirect by itself, so that tests see each answer.
struct Browser {
    http: Client,
    base: String,
    cookie: Option<String>,
}

struct Page {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Page {
    fn header(&self, name: impl reqwest::header::AsHeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn leads_to(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        self.header(LOCATION)
    }

    /// The token of the forms of this page.
    fn form_token(&self) -> String {
        let (_, rest) = self.body.split_once("name=\"form_token\" value=\"").expect("a form");
        rest.split_once('"').expect("a value").0.to_owned()
    }
}

impl Browser {
    fn new(base: &str) -> Self {
        Self { http: http_client(), base: base.to_owned(), cookie: None }
    }

    /// Logged in with this token.
    async fn logged_in(base: &str, token: &str) -> Self {
        let mut browser = Self::new(base);
        let answer = browser.log_in(token).await;
        assert_eq!(answer.leads_to(), "/console");
        let cookie = answer.header(SET_COOKIE);
        let flags = "; Secure; HttpOnly; SameSite=Strict; Path=/";
        let pair = cookie.strip_suffix(flags).unwrap_or_else(|| panic!("{cookie}"));
        assert!(pair.starts_with("__Host-ras_console="), "{cookie}");
        browser.cookie = Some(pair.to_owned());
        browser
    }

    async fn log_in(&self, token: &str) -> Page {
        self.post("/console/login", &[("token", token)]).await
    }

    async fn get(&self, path: &str) -> Page {
        self.send(Method::GET, path, &[], String::new()).await
    }

    /// A form, as a page of the console sends it.
    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.post_from(path, fields, &[("Sec-Fetch-Site", "same-origin")]).await
    }

    async fn post_from(&self, path: &str, fields: &[(&str, &str)], from: &[(&str, &str)]) -> Page {
        let form = "application/x-www-form-urlencoded";
        let headers = [&[("Content-Type", form)], from].concat();
        self.send(Method::POST, path, &headers, encoded(fields)).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Page {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("Cookie", cookie);
        }
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status(), answer.headers().clone());
        Page { status, headers, body: answer.text().await.expect("a text") }
    }
}

/// The fields of a form or a query.
fn encoded(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let pairs = fields.iter().map(|(name, value)| format!("{name}={}", encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}
