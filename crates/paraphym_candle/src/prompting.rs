//! What an app does with a turn that is under way, beside reading it: to say more, and to stop it.

use agent_worker::SteerError;
use domain::{ConversationId, GenerationError, RequestId};

use crate::Paraphym;

impl Paraphym {
    /// Says something to a turn that waits or runs, without ending it: the model reads it with its next call, behind what
    /// happened in the turn until then. A turn that would end then makes one call more. The turn's stream tells when it was taken
    /// in, with a [`crate::TurnEvent::Steered`] of the number that is returned here, from 1.
    ///
    /// ```no_run
    /// # async fn ask(host: &paraphym_candle::Paraphym) -> Result<(), Box<dyn std::error::Error>> {
    /// use paraphym_candle::{ConversationId, SteerError};
    ///
    /// let tea = ConversationId::new("tea");
    /// let turn = host.ask(&tea, "Which tea keeps me awake?", host.turn_settings()).await?;
    /// let answer = match host.steer(&tea, turn.id(), "In French, please.").await {
    ///     Ok(_) => turn.collect().await?,
    ///     // It has answered meanwhile: say it as a turn of its own.
    ///     Err(SteerError::Over { .. } | SteerError::LastCall { .. }) => {
    ///         let next = host.ask(&tea, "In French, please.", host.turn_settings()).await?;
    ///         next.collect().await?
    ///     }
    ///     Err(error) => return Err(error.into()),
    /// };
    /// println!("{}", answer.text);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Over` or `LastCall` where nothing would read it, so that it can be asked anew; `Invalid` for an empty or too long text, or
    /// more than 8 that wait to be read; `Unavailable` when the conversation does not answer.
    pub async fn steer(
        &self,
        conversation: &ConversationId,
        turn: &RequestId,
        text: impl Into<String>,
    ) -> Result<u32, SteerError> {
        self.agents().steer(conversation, turn, text).await
    }

    /// Ends a turn by its name, waiting or running, with `Failed(Cancelled)`; whether there was one. Who holds the stream takes its
    /// [`crate::Canceller`] or drops it instead.
    ///
    /// # Errors
    /// `Unavailable` when the conversation does not answer.
    pub async fn cancel(
        &self,
        conversation: &ConversationId,
        turn: &RequestId,
    ) -> Result<bool, GenerationError> {
        self.agents().cancel(conversation, turn).await
    }
}
