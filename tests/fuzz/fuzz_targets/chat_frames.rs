//! Any bytes as a stream to chat-server, and as one to chat-client.

#![no_main]

#[macro_use]
mod target;
#[path = "../checks/chat_frames.rs"]
mod chat_frames;
#[path = "../seeded.rs"]
mod seeded;

target!(chat_frames);
