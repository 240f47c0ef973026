//! The link between a request, what goes over the wire for it, and the type of its answer.

use crate::failure::Failure;

/// What goes over the wire: one enum with all requests of one kind.
pub trait Wire {
    /// The enum with the replies to them.
    type Reply;
}

/// A request whose answer has a type of its own.
pub trait Request {
    /// What goes over the wire.
    type Wire: Wire;
    /// What it is answered with.
    type Answer;

    /// The request as it goes over the wire.
    fn to_wire(&self) -> Self::Wire;

    /// The answer in a reply; none: the reply is to another request.
    fn answer_in(reply: <Self::Wire as Wire>::Reply) -> Option<Self::Answer>;
}

/// Reads the answer to a request out of a reply. This is the one place where a reply can turn out to be to another request.
///
/// # Errors
/// When it is.
pub fn answer_to<R: Request>(reply: <R::Wire as Wire>::Reply) -> Result<R::Answer, Failure> {
    let unexpected = || Failure::other("unexpected reply from the program");
    R::answer_in(reply).ok_or_else(unexpected)
}

/// Makes a type a [`Request`] that goes over the wire as the variant of its name, and says which reply holds its answer.
macro_rules! request {
    (unit $request:ident: $wire:ident => $answer:ty, $reply:pat => $value:expr) => {
        request!(@ $request, $wire, |_| $wire::$request, $answer, $reply, $value);
    };
    ($request:ident: $wire:ident => $answer:ty, $reply:pat => $value:expr) => {
        request!(@ $request, $wire, |one: &$request| $wire::$request(one.clone()), $answer, $reply, $value);
    };
    (@ $request:ident, $wire:ident, $to_wire:expr, $answer:ty, $reply:pat, $value:expr) => {
        impl $crate::request::Request for $request {
            type Wire = $wire;
            type Answer = $answer;

            fn to_wire(&self) -> $wire {
                let to_wire: fn(&Self) -> $wire = $to_wire;
                to_wire(self)
            }

            fn answer_in(
                reply: <$wire as $crate::request::Wire>::Reply,
            ) -> Option<$answer> {
                match reply {
                    $reply => Some($value),
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use request;
