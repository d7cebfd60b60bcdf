//! Prints the offset of the server that it is told, in seconds.

fn main() {
    let server = std::env::args().nth(1).expect("ADDRESS:PORT");
    let answer = rsntp::SntpClient::new().synchronize(server).expect("an answer");
    println!("{}", answer.clock_offset().as_secs_f64());
}
