//! slow-reader: a chat in which nobody waits for a member that does not read.

use super::{Check, Client, Exercise, Fault, Service, Subject, shown};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "slow-reader",
    recipe: "chat-server",
    args: &["--port", "{port}"],
    checks: &[
        Check {
            id: "all-hear",
            statement: "what each of three members says is heard by all, in one order",
            run: all_hear,
        },
        Check {
            id: "patient",
            statement: "a member that reads only after 100 texts of 4 KB gets all of them, and stays",
            run: patient,
        },
        Check {
            id: "room-goes-on",
            statement: "while one member does not read, 400 texts reach the others, none is lost",
            run: room_goes_on,
        },
        Check {
            id: "dropped",
            statement: "after at most 1,000 texts the others are told that it has left",
            run: dropped,
        },
        Check {
            id: "whole-frames",
            statement: "it can still read whole frames in order, the last one says why, then the end",
            run: whole_frames,
        },
        Check {
            id: "right-one",
            statement: "when one member has left before, it is still the one that does not read that goes",
            run: right_one,
        },
    ],
};

/// More than may wait for a member, in its queue and in the kernel.
const MANY: usize = 400;

/// How many texts are on their way at the same time.
const BATCH: usize = 8;

/// The longest frame that a server sends has a little more than 4096 bytes.
const LONGEST: usize = 8192;

fn all_hear(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let mut members: Vec<Member> = Vec::new();
    for name in ["ann", "bob", "cid"] {
        let new = Member::join(&service, service.connect()?, name)?;
        members.iter_mut().try_for_each(|member| member.hears(&format!("joined\t{name}")))?;
        members.push(new);
    }
    for number in 0..members.len() {
        let Some(speaker) = members.get_mut(number) else { break };
        let said = speaker.say(&text(subject, number))?;
        members.iter_mut().try_for_each(|member| member.hears(&said))?;
    }
    Ok("3 members, 3 texts".to_owned())
}

fn patient(subject: &Subject) -> Result<String, Fault> {
    const TEXTS: usize = 100;
    let service = subject.serve()?;
    let mut talker = Member::join(&service, service.connect()?, "talker")?;
    let mut patient = Member::join(&service, service.connect_narrow()?, "patient")?;
    talker.hears("joined\tpatient")?;
    let said = talker.talk(subject, TEXTS, &mut [])?.said;
    said.iter().try_for_each(|said| patient.hears(said))?;
    let said = patient.say("still here")?;
    [&mut talker, &mut patient].into_iter().try_for_each(|member| member.hears(&said))?;
    Ok(format!("{TEXTS} texts waited for it"))
}

fn room_goes_on(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let mut talker = Member::join(&service, service.connect()?, "talker")?;
    let _slow = Member::join(&service, service.connect_narrow()?, "slow")?;
    let mut other = Member::join(&service, service.connect()?, "other")?;
    talker.hears("joined\tslow")?;
    talker.hears("joined\tother")?;
    talker.talk(subject, MANY, &mut [&mut other])?;
    Ok(format!("two members have heard {MANY} texts each"))
}

fn dropped(subject: &Subject) -> Result<String, Fault> {
    const MOST: usize = 1000;
    let service = subject.serve()?;
    let mut talker = Member::join(&service, service.connect()?, "talker")?;
    let _slow = Member::join(&service, service.connect_narrow()?, "slow")?;
    talker.hears("joined\tslow")?;
    let mut texts = 0;
    while texts < MOST {
        let talked = talker.talk(subject, 5 * BATCH, &mut [])?;
        texts += talked.said.len();
        if talked.left.iter().any(|left| left == "left\tslow") {
            return Ok(format!("told so before text {texts}"));
        }
    }
    let expected = "the others receive \"left\\tslow\"";
    let got = format!("nothing but {texts} texts of 4 KB");
    Err(service.wrong(expected, got, "all of them wait for a member that does not read"))
}

fn whole_frames(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let mut talker = Member::join(&service, service.connect()?, "talker")?;
    let mut slow = Member::join(&service, service.connect_narrow()?, "slow")?;
    talker.hears("joined\tslow")?;
    let said = talker.talk(subject, MANY, &mut [])?.said;
    for (number, said) in said.iter().enumerate() {
        let frame = slow.next()?;
        if frame.starts_with("closed\t") {
            slow.client.receive_end("after that frame the server closes the connection")?;
            return Ok(format!("{number} texts, then {}", shown(frame.as_bytes())));
        }
        slow.is(&frame, said)?;
    }
    let expected = "before all texts a frame that begins with \"closed\\t\"";
    Err(service.wrong(expected, format!("{MANY} texts"), "recv of the member that did not read"))
}

fn right_one(subject: &Subject) -> Result<String, Fault> {
    let service = subject.serve()?;
    let mut first = Member::join(&service, service.connect()?, "first")?;
    let mut other = Member::join(&service, service.connect()?, "other")?;
    let mut talker = Member::join(&service, service.connect()?, "talker")?;
    let _slow = Member::join(&service, service.connect_narrow()?, "slow")?;
    for name in ["other", "talker", "slow"] {
        first.hears(&format!("joined\t{name}"))?;
    }
    other.hears("joined\ttalker")?;
    other.hears("joined\tslow")?;
    talker.hears("joined\tslow")?;
    first.client.fin();
    for member in [&mut first, &mut other, &mut talker] {
        member.hears("left\tfirst")?;
    }
    first.client.receive_end("a member that has left gets the end of the stream")?;
    drop(first);
    let talked = talker.talk(subject, MANY, &mut [&mut other])?;
    match talked.left.iter().find(|left| *left != "left\tslow") {
        None => Ok(format!("{MANY} texts; told: {}", talked.left.join(", "))),
        Some(left) => {
            let got = shown(left.as_bytes());
            Err(service.wrong("nobody but \"slow\" leaves", got, "recv of \"talker\""))
        }
    }
}

/// A long text, another one in each run.
fn text(subject: &Subject, number: usize) -> String {
    let line = String::from_utf8_lossy(&subject.line(number)).trim_end().to_owned() + "; ";
    line.repeat(4000 / line.len())
}

/// A text as a frame of the protocol.
fn frame(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

/// What one member has heard while it talked.
struct Talked {
    /// Its own texts, as the server's frames have them.
    said: Vec<String>,
    /// The frames that tell of a member that has left.
    left: Vec<String>,
}

/// A client that has joined.
struct Member<'a> {
    service: &'a Service,
    client: Client<'a>,
    name: &'static str,
}

impl<'a> Member<'a> {
    fn join(
        service: &'a Service,
        client: Client<'a>,
        name: &'static str,
    ) -> Result<Member<'a>, Fault> {
        let mut member = Member { service, client, name };
        member.client.send(&frame(name))?;
        member.hears(&format!("joined\t{name}"))?;
        Ok(member)
    }

    /// Says something, and returns what all have to hear.
    fn say(&mut self, text: &str) -> Result<String, Fault> {
        self.client.send(&frame(text))?;
        Ok(format!("said\t{}\t{text}", self.name))
    }

    /// Says so many long texts, and hears each of them, as `others` do, and beside them only who leaves.
    fn talk(
        &mut self,
        subject: &Subject,
        count: usize,
        others: &mut [&mut Member],
    ) -> Result<Talked, Fault> {
        let (mut said, mut left) = (Vec::new(), Vec::new());
        while said.len() < count {
            let batch = said.len()..count.min(said.len() + BATCH);
            for number in batch.clone() {
                said.push(self.say(&text(subject, number))?);
            }
            for said in said.iter().skip(batch.start) {
                left.extend(self.hears_beside(said)?);
                for other in others.iter_mut() {
                    other.hears_beside(said)?;
                }
            }
        }
        Ok(Talked { said, left })
    }

    /// Receives this frame, and returns those before it that tell of a member that has left.
    fn hears_beside(&mut self, expected: &str) -> Result<Option<String>, Fault> {
        let frame = self.next()?;
        if frame.starts_with("left\t") {
            self.hears(expected)?;
            return Ok(Some(frame));
        }
        self.is(&frame, expected).map(|()| None)
    }

    /// Receives exactly this frame.
    fn hears(&mut self, expected: &str) -> Result<(), Fault> {
        let frame = self.next().map_err(|mut fault| {
            if let Fault::Wrong(wrong) = &mut fault {
                let expected = shown(expected.as_bytes());
                wrong.expected = format!("\"{}\" receives {expected}", self.name);
            }
            fault
        })?;
        self.is(&frame, expected)
    }

    fn is(&self, frame: &str, expected: &str) -> Result<(), Fault> {
        if frame == expected {
            return Ok(());
        }
        let expected = format!("\"{}\" receives {}", self.name, shown(expected.as_bytes()));
        Err(self.service.wrong(&expected, shown(frame.as_bytes()), "recv"))
    }

    /// The next frame.
    fn next(&mut self) -> Result<String, Fault> {
        let head = self.client.receive_exact(4)?;
        let length = head.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
        if length > LONGEST {
            let expected = format!("\"{}\" receives a frame of at most {LONGEST} bytes", self.name);
            let got = format!("a frame of {length} bytes");
            let evidence = format!("its first four bytes are {}", shown(&head));
            return Err(self.service.wrong(&expected, got, evidence));
        }
        let text = self.client.receive_exact(length)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
