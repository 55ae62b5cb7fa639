//! Threads of messages, and how THREAD writes them (RFC 5256 4, 5).
//!
//! A node is a message or the place of one that is not there. Walking it needs a stack as deep as
//! the threads are, not the program's own.

/// Threads. Messages are named by the numbers they were given with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forest {
    /// What stands at each node; `None` where no message is.
    pub(super) messages: Vec<Option<u32>>,
    /// The children of each node, in order.
    pub(super) children: Vec<Vec<usize>>,
    /// The nodes that begin threads, in order.
    pub(super) roots: Vec<usize>,
}

/// A piece of a THREAD response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// `(`
    Open,
    /// `)`
    Close,
    /// A space.
    Space,
    /// A message.
    Message(u32),
}

impl Forest {
    /// What THREAD says, piece by piece.
    pub fn tokens(&self) -> impl Iterator<Item = Token> {
        let mut steps: Vec<Step> = self
            .roots
            .iter()
            .rev()
            .map(|root| Step::List(*root))
            .collect();
        std::iter::from_fn(move || {
            loop {
                match steps.pop()? {
                    Step::Say(token) => return Some(token),
                    Step::List(node) => {
                        steps.push(Step::Say(Token::Close));
                        steps.push(Step::Members(node));
                        return Some(Token::Open);
                    }
                    Step::Members(node) => {
                        self.below(node, &mut steps);
                        if let Some(message) = self.messages.get(node).copied().flatten() {
                            return Some(Token::Message(message));
                        }
                    }
                }
            }
        })
    }

    /// What follows a node: one child in the same list, several in a list each.
    fn below(&self, node: usize, steps: &mut Vec<Step>) {
        let children = self.children.get(node).map_or(&[][..], Vec::as_slice);
        match children {
            [] => return,
            [only] => steps.push(Step::Members(*only)),
            several => steps.extend(several.iter().rev().map(|child| Step::List(*child))),
        }
        if self.messages.get(node).copied().flatten().is_some() {
            steps.push(Step::Say(Token::Space));
        }
    }
}

/// What is still to be said.
enum Step {
    Say(Token),
    /// A node in a list of its own.
    List(usize),
    /// A node and what is below it, within a list.
    Members(usize),
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What THREAD says.
    pub(in crate::imap::order) fn text(forest: &Forest) -> String {
        let texts = forest.tokens().map(|token| match token {
            Token::Open => "(".to_owned(),
            Token::Close => ")".to_owned(),
            Token::Space => " ".to_owned(),
            Token::Message(number) => number.to_string(),
        });
        texts.collect()
    }

    #[test]
    fn the_examples_of_rfc_5256_are_written_as_they_stand() {
        let forest = |links: &[(Option<u32>, &[usize])], roots: &[usize]| Forest {
            messages: links.iter().map(|(message, _)| *message).collect(),
            children: links.iter().map(|(_, below)| below.to_vec()).collect(),
            roots: roots.to_vec(),
        };
        let numbers = [2, 3, 6, 4, 23, 44, 7, 96];
        let below: [&[usize]; 8] = [&[], &[2], &[3, 5], &[4], &[], &[6], &[7], &[]];
        let links: Vec<_> = numbers.iter().copied().map(Some).zip(below).collect();
        assert_eq!(text(&forest(&links, &[0, 1])), "(2)(3 6 (4 23)(44 7 96))");
        let dummy = forest(&[(None, &[1, 2]), (Some(3), &[]), (Some(5), &[])], &[0]);
        assert_eq!(text(&dummy), "((3)(5))");
        assert_eq!(text(&Forest::default()), "");
    }

    #[test]
    fn a_long_thread_is_walked_without_recursion() {
        let count = 200_000;
        let forest = Forest {
            messages: (1..=count).map(Some).collect(),
            children: (1..=count)
                .map(|next| {
                    if next < count {
                        vec![usize::try_from(next).unwrap()]
                    } else {
                        vec![]
                    }
                })
                .collect(),
            roots: vec![0],
        };
        assert_eq!(
            forest.tokens().count(),
            usize::try_from(count).unwrap() * 2 + 1
        );
    }
}
