"""The official Python client against a server that asks for a token and limits who has one."""

import os
import unittest

import openai
from openai import OpenAI

CHAT = "smollm2-135m-instruct"


class Guarded(unittest.TestCase):
    def test_without_a_token_nothing_is_answered(self):
        no_header = {"Authorization": openai.Omit()}
        for headers in [no_header, {}]:
            with self.assertRaises(openai.AuthenticationError) as refused:
                OpenAI(api_key="sk-wrong", max_retries=0, default_headers=headers).models.list()
            self.assertEqual(refused.exception.code, "invalid_api_key")

    def test_a_limit_is_told_and_kept(self):
        limited = OpenAI(api_key=os.environ["LIMITED_KEY"], max_retries=0)
        ask = {"model": CHAT, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
        raw = limited.chat.completions.with_raw_response.create(**ask)
        self.assertEqual(raw.headers["x-ratelimit-limit-requests"], "3")
        self.assertEqual(raw.headers["x-ratelimit-remaining-requests"], "2")
        limited.chat.completions.create(**ask)
        limited.chat.completions.create(**ask)
        with self.assertRaises(openai.RateLimitError) as refused:
            limited.chat.completions.create(**ask)
        # Who is at the limit may still look around.
        self.assertTrue(list(limited.models.list()))
        self.assertEqual(refused.exception.code, "rate_limit_exceeded")
        self.assertGreaterEqual(int(refused.exception.response.headers["retry-after"]), 1)

    def test_another_token_is_not_touched_by_it(self):
        answer = OpenAI(max_retries=0, timeout=120).chat.completions.create(
            model=CHAT, messages=[{"role": "user", "content": "Hi"}], max_tokens=2
        )
        self.assertEqual(answer.usage.completion_tokens, 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
