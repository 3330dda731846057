//! Series that exist before anything is counted.
//!
//! A rate over a counter that appears with its first event misses that event, and an alert on a
//! series that is not there never fires. So every series of a fixed set is 0 from the start.

use projection::{EventKind, OutgoingEventKind, RefusalCode};

use super::instruments::Instruments;
use super::labels::{
    AuditDrop, AuditDropLabels, BYPASS_REASONS, BypassLabels, CacheLabels, CacheType,
    ProcessedLabels, Purged, PurgedLabels, RefusedLabels, ReplayedLabels, RequestLabels,
    RouteLabels, SEND_FAILURE_REASONS, SendFailureLabels, TopicLabels,
};

/// Label of records whose topic is not one of ours.
pub const NO_TOPIC: &str = "unknown";
/// Label of requests that match no route.
pub const NO_ROUTE: &str = "unmatched";

/// Every route with its methods, and the statuses that it commonly answers with.
const ROUTES: [(&str, &[&str], &[u16]); 22] = [
    ("/internal/v1/batches/{batch_id}/status", READ, INTERNAL),
    ("/internal/v1/batches/user/{user_id}", READ, INTERNAL),
    ("/internal/v1/batches/user/{user_id}/changes", READ, &[200, 400, 401, 500, 503]),
    ("/internal/v1/events", &["POST"], &[200, 400, 401, 413, 415, 422, 500, 503, 507]),
    ("/internal/v1/dead-letters", READ, INTERNAL),
    ("/internal/v1/dead-letters/{id}", &["GET", "DELETE"], INTERNAL),
    ("/internal/v1/dead-letters/{id}/replay", &["POST"], INTERNAL),
    ("/internal/v1/outbox", READ, INTERNAL),
    ("/internal/v1/cache/{owner}", &["GET", "DELETE"], INTERNAL),
    ("/internal/v1/stale-answers", READ, INTERNAL),
    // These answer with errors: paths without a route of their own.
    ("/internal/v1/batches//status", READ, &[400, 401]),
    ("/internal/v1/batches/user/", READ, &[400, 401]),
    ("/internal/v1/batches/user//changes", READ, &[400, 401]),
    ("/internal/v1", READ, &[401, 404]),
    ("/internal/v1/", READ, &[401, 404]),
    ("/internal/v1/{*rest}", READ, &[401, 404]),
    ("/healthz", READ, &[200]),
    ("/readyz", READ, &[200, 503]),
    ("/metrics", READ, &[200, 500]),
    ("/openapi.json", READ, &[200]),
    ("/docs", READ, &[200, 304]),
    ("/docs/{name}", READ, &[200, 304, 404]),
];
const READ: &[&str] = &["GET"];
const INTERNAL: &[u16] = &[200, 304, 400, 401, 404, 500, 503];

/// Creates every series of a fixed set.
pub(super) fn preset(instruments: &Instruments) {
    requests(instruments);
    records(instruments);
    cache(instruments);
    outbox(instruments);
    for what in [Purged::Inbox, Purged::Outbox, Purged::DeadLetters] {
        let _ = instruments.purged.get_or_create(&PurgedLabels { what });
    }
}

fn requests(instruments: &Instruments) {
    let one = |endpoint: &str, method, statuses: &[u16]| {
        let labels = RouteLabels { endpoint: endpoint.to_owned(), method };
        let _ = instruments.api_request_duration.get_or_create(&labels);
        for &status_code in statuses {
            let labels = RequestLabels { endpoint: endpoint.to_owned(), method, status_code };
            let _ = instruments.api_requests.get_or_create(&labels);
        }
    };
    for (endpoint, methods, statuses) in ROUTES {
        for method in methods {
            one(endpoint, method, statuses);
        }
    }
    one(NO_ROUTE, "GET", &[404]);
}

fn records(instruments: &Instruments) {
    let topics = EventKind::ALL.iter().map(|kind| kind.topic());
    for topic in topics.clone() {
        for outcome in ["applied", "duplicate"] {
            let labels = ProcessedLabels { topic, outcome };
            let _ = instruments.messages_processed.get_or_create(&labels);
        }
    }
    for topic in topics.chain([NO_TOPIC]) {
        for code in RefusalCode::ALL {
            let labels = RefusedLabels { topic, error_type: code.as_str() };
            let _ = instruments.invalid_messages.get_or_create(&labels);
            let _ = instruments.dead_letters_total.get_or_create(&labels);
        }
    }
    for outcome in ["applied", "duplicate", "refused"] {
        let _ = instruments.dead_letters_replayed.get_or_create(&ReplayedLabels { outcome });
    }
}

fn cache(instruments: &Instruments) {
    for cache_type in CacheType::ALL {
        let labels = CacheLabels { cache_type };
        let _ = instruments.cache_hits.get_or_create(&labels);
        let _ = instruments.cache_misses.get_or_create(&labels);
        let _ = instruments.cache_refused_fills.get_or_create(&labels);
        let _ = instruments.audited_hits.get_or_create(&labels);
        let _ = instruments.stale_hits.get_or_create(&labels);
        for reason in AuditDrop::ALL {
            let labels = AuditDropLabels { cache_type, reason };
            let _ = instruments.audits_dropped.get_or_create(&labels);
        }
        for reason in BYPASS_REASONS {
            let labels = BypassLabels { cache_type, reason };
            let _ = instruments.cache_bypasses.get_or_create(&labels);
        }
    }
}

fn outbox(instruments: &Instruments) {
    for kind in OutgoingEventKind::ALL {
        let topic = kind.as_str();
        let _ = instruments.outbox_published.get_or_create(&TopicLabels { topic: topic.into() });
        for reason in SEND_FAILURE_REASONS {
            let labels = SendFailureLabels { topic: topic.into(), reason };
            let _ = instruments.outbox_send_failures.get_or_create(&labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::ROUTES;

    /// The source is compared, because a router does not list its routes.
    #[test]
    fn every_route_of_the_router_is_preset() {
        let source = include_str!("../http/router.rs");
        let path = |call: &'static str| call.split('"').nth(1).unwrap_or_default();
        let routed: BTreeSet<_> = source.split(".route(").skip(1).map(path).collect();
        let preset: BTreeSet<_> = ROUTES.iter().map(|(path, ..)| *path).collect();
        assert_eq!(preset, routed);
    }
}
