//! Any bytes as a stream to chat-server, and as one to chat-client.

#![no_main]

#[macro_use]
mod target;
#[path = "../seeded.rs"]
mod seeded;
#[path = "../checks/chat_frames.rs"]
mod chat_frames;

target!(chat_frames);
