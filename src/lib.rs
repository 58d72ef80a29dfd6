//! A WebSocket gateway for Claude Agent SDK sessions.

pub mod agent;
pub mod config;
pub mod connection;
pub mod console;
pub mod converter;
pub mod dispatch;
pub mod gateway;
pub mod log;
pub mod metrics;
pub mod protocol;
pub mod scripted_model;
pub mod server;
pub mod session;
pub mod store;
