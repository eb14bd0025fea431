-- Who asked a turn, where several talk in one conversation, and their client's name for what they said.

ALTER TABLE turns ADD COLUMN asker TEXT;
ALTER TABLE turns ADD COLUMN nonce TEXT;
