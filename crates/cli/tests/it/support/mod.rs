//! Support of the system tests: servers, processes of the service, clients, load and checks.

pub(crate) mod broker;
pub(crate) mod checker;
pub(crate) mod chromium;
pub(crate) mod collector;
pub(crate) mod common;
pub(crate) mod events;
pub(crate) mod http;
pub(crate) mod journal;
pub(crate) mod load;
pub(crate) mod program;
pub(crate) mod published;
pub(crate) mod servers;
pub(crate) mod service;
