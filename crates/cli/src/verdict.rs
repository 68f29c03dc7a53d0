//! A verdict: item by item what was established, what was refuted and what nobody looked at.

use calybris_core::wal::WalAnchor;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::exit::{Exit, Failure, Result};
use crate::files;

/// What a check of one item found.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(crate) enum Item {
    /// It holds.
    Established {
        /// What that says.
        what: String,
    },
    /// It does not hold, or could not be found out although it was asked for.
    Refuted(Box<Failure>),
    /// Nobody asked.
    NotChecked {
        /// What was missing for it.
        why: String,
    },
}

impl Item {
    pub(crate) fn established(what: impl Into<String>) -> Self {
        Self::Established { what: what.into() }
    }

    pub(crate) fn from_check(check: Result<String>) -> Self {
        check.map_or_else(Self::Refuted, Self::established)
    }

    pub(crate) fn not_checked(why: impl Into<String>) -> Self {
        Self::NotChecked { why: why.into() }
    }
}

/// Items under their names, in the order they are shown, and what follows from them.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) exit: Exit,
    /// What was verified: a path.
    pub(crate) subject: String,
    pub(crate) items: Vec<(&'static str, Item)>,
    /// Of a log whose chain holds to its end.
    pub(crate) head: Option<WalAnchor>,
    /// Further members of the JSON form.
    pub(crate) facts: Vec<(&'static str, Value)>,
}

impl Verdict {
    /// The verdict of these items: the worst of them, where a required item that was not checked counts as
    /// one that could not be found out.
    pub(crate) fn of(
        subject: String,
        mut items: Vec<(&'static str, Item)>,
        required: &[String],
    ) -> Self {
        for (name, item) in &mut items {
            if let Item::NotChecked { why } = item
                && required.iter().any(|required| required == name)
            {
                let problem = format!("{name} is required and was not checked: {why}");
                *item = Item::Refuted(Failure::new(Exit::CannotTell, problem));
            }
        }
        let failures = items.iter().filter_map(|(_, item)| match item {
            Item::Refuted(failure) => Some(failure.verdict),
            _ => None,
        });
        let exit = failures.max_by_key(|exit| exit.severity()).unwrap_or(Exit::Verified);
        Self { exit, subject, items, head: None, facts: Vec::new() }
    }

    /// Adds an item that was checked elsewhere.
    pub(crate) fn add(&mut self, name: &'static str, item: Item) {
        if let Item::Refuted(failure) = &item
            && failure.verdict.severity() > self.exit.severity()
        {
            self.exit = failure.verdict;
        }
        self.items.push((name, item));
    }

    /// Prints it and says how the command ends.
    pub(crate) fn print(&self, json: bool) -> Result<Exit> {
        if json {
            files::print_json(&self.to_json())?;
        } else {
            files::print(&self.to_text())?;
        }
        Ok(self.exit)
    }

    fn names(&self, wanted: impl Fn(&Item) -> bool) -> Vec<&'static str> {
        self.items.iter().filter(|(_, item)| wanted(item)).map(|(name, _)| *name).collect()
    }

    /// The names of what holds.
    pub(crate) fn established(&self) -> Vec<&'static str> {
        self.names(|item| matches!(item, Item::Established { .. }))
    }

    /// The names of what nobody looked at.
    pub(crate) fn not_checked(&self) -> Vec<&'static str> {
        self.names(|item| matches!(item, Item::NotChecked { .. }))
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut body = Map::new();
        body.insert("verdict".into(), json!(self.exit));
        body.insert("subject".into(), json!(self.subject));
        body.extend(self.facts.iter().map(|(name, fact)| ((*name).to_owned(), fact.clone())));
        body.insert("established".into(), json!(self.established()));
        body.insert("not_checked".into(), json!(self.not_checked()));
        let items: Map<_, _> =
            self.items.iter().map(|(name, item)| ((*name).to_owned(), json!(item))).collect();
        body.insert("items".into(), Value::Object(items));
        Value::Object(body)
    }

    /// One line that says what the verdict covers.
    pub(crate) fn summary(&self) -> String {
        let word = match self.exit {
            Exit::Verified => "VERIFIED",
            Exit::Tampered => "TAMPERED",
            Exit::Incomplete => "INCOMPLETE",
            _ => "CANNOT TELL",
        };
        let list = |names: Vec<&str>| names.join(", ");
        let mut line = match self.exit {
            Exit::Verified => format!("{word}: {}", list(self.established())),
            _ => format!("{word}: {}", list(self.names(|item| matches!(item, Item::Refuted(_))))),
        };
        if !self.not_checked().is_empty() {
            line.push_str(&format!(". Not checked: {}", list(self.not_checked())));
        }
        line
    }

    fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.subject);
        for (name, item) in &self.items {
            let line = match item {
                Item::Established { what } => format!("  ok         {name:<11} {what}\n"),
                Item::Refuted(failure) => {
                    let failure = failure.to_string().replace('\n', "\n                         ");
                    format!("  FAILED     {name:<11} {failure}\n")
                }
                Item::NotChecked { why } => format!("  unchecked  {name:<11} {why}\n"),
            };
            text.push_str(&line);
        }
        text.push_str(&self.summary());
        text.push('\n');
        text
    }
}
