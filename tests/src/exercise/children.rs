//! The children of a server under test that forks for each client.

use netcheck::evidence;

use super::{Client, Fault, Service, Subject};

/// A client that has been served, and the child that serves it, beside `others` living children.
pub(super) fn served<'a>(
    service: &'a Service,
    subject: &Subject,
    others: usize,
) -> Result<(Client<'a>, i32), Fault> {
    let before = living(service);
    let mut client = service.connect()?;
    client.echo(&subject.line(others))?;
    let expected = format!("a child for each client: {} in all", others + 1);
    let mut child = 0;
    service.until(&expected, || {
        let living = living(service);
        let new = living.iter().find(|pid| !before.contains(pid));
        child = *new.unwrap_or(&0);
        let evidence = format!("/proc/*/stat, parent {}", service.pid());
        let is_one_more = living.len() == others + 1 && child != 0;
        is_one_more.then(String::new).ok_or((format!("{} children", living.len()), evidence))
    })?;
    Ok((client, child))
}

/// Its children that have not ended.
pub(super) fn living(service: &Service) -> Vec<i32> {
    let zombies = evidence::zombies(service.pid());
    let mut children = evidence::children(service.pid());
    children.retain(|pid| !zombies.contains(pid));
    children
}
