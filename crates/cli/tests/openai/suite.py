"""The official Python client against a running server: what it can ask for is answered so that it, and the types it was
written with, accept it.

It is told where by OPENAI_BASE_URL and OPENAI_API_KEY, as any program of its users is. METRICS_URL is where numbers are.
"""

import asyncio
import base64
import json
import math
import os
import struct
import threading
import time
import unittest
import urllib.request

import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

CHAT = "smollm2-135m-instruct"
EMBEDDER = "all-minilm-l6-v2"
QUESTION = [{"role": "user", "content": "What is gravity?"}]
STORY = [{"role": "user", "content": "Write a very long story about a dragon in twenty chapters."}]

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "enum": ["Paris", "Oslo"]},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}


class City(BaseModel):
    name: str
    inhabitants: int
    coastal: bool


def client(**options):
    # A test wants the first answer, not the third.
    return OpenAI(max_retries=0, timeout=120, **options)


def computed():
    """How many answers the models are making."""
    with urllib.request.urlopen(os.environ["METRICS_URL"], timeout=10) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("paraphym_sequences_active"))


def eventually(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


class Models(unittest.TestCase):
    def test_are_listed_and_looked_up(self):
        names = [model.id for model in client().models.list()]
        self.assertIn(CHAT, names)
        self.assertIn(EMBEDDER, names)
        self.assertEqual(client().models.retrieve(CHAT).id, CHAT)
        with self.assertRaises(openai.NotFoundError) as refused:
            client().models.retrieve("no-such-model")
        self.assertEqual(refused.exception.code, "model_not_found")


class Chat(unittest.TestCase):
    def ask(self, **fields):
        return client().chat.completions.create(model=CHAT, messages=QUESTION, **{"max_tokens": 16, "seed": 1, **fields})

    def test_whole_answer(self):
        answer = self.ask()
        choice = answer.choices[0]
        self.assertEqual(answer.object, "chat.completion")
        self.assertEqual(choice.message.role, "assistant")
        self.assertIn("ravity", choice.message.content)
        self.assertEqual(choice.finish_reason, "length")
        self.assertEqual(answer.usage.completion_tokens, 16)
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + 16)
        self.assertTrue(answer._request_id)

    def test_stream_says_the_same_and_ends_with_its_cost(self):
        whole = self.ask()
        chunks = list(self.ask(stream=True, stream_options={"include_usage": True}))
        self.assertEqual(len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}), 1)
        *body, cost = chunks
        self.assertEqual(cost.choices, [])
        self.assertEqual(cost.usage.completion_tokens, whole.usage.completion_tokens)
        self.assertEqual(body[0].choices[0].delta.role, "assistant")
        text = "".join(chunk.choices[0].delta.content or "" for chunk in body)
        self.assertEqual(text, whole.choices[0].message.content)
        reasons = [chunk.choices[0].finish_reason for chunk in body]
        self.assertEqual([reason for reason in reasons if reason], ["length"])
        self.assertEqual(reasons[-1], "length")

    def test_stop_and_both_names_of_the_limit(self):
        whole = self.ask(max_tokens=24, temperature=0).choices[0].message.content
        word = whole.split()[3]
        cut = self.ask(max_tokens=24, temperature=0, stop=[word]).choices[0]
        self.assertEqual(cut.finish_reason, "stop")
        self.assertEqual(cut.message.content, whole[: whole.index(word)])
        new = client().chat.completions.create(model=CHAT, messages=QUESTION, max_completion_tokens=3)
        self.assertEqual(new.usage.completion_tokens, 3)

    def test_a_seed_repeats_itself_and_penalties_are_heard(self):
        one, two = (self.ask(temperature=1.5, seed=7, max_tokens=32).choices[0].message.content for _ in range(2))
        self.assertEqual(one, two)
        other = self.ask(temperature=1.5, seed=8, max_tokens=32).choices[0].message.content
        self.assertNotEqual(one, other)
        plain, driven = (
            self.ask(temperature=0, max_tokens=48, frequency_penalty=penalty, presence_penalty=penalty)
            for penalty in (0, 2)
        )
        words = [answer.choices[0].message.content.lower().split() for answer in (plain, driven)]
        self.assertNotEqual(*words)
        plain_share, driven_share = (len(set(said)) / len(said) for said in words)
        self.assertGreater(driven_share, plain_share)

    def test_roles_and_parts(self):
        answer = client().chat.completions.create(
            model=CHAT,
            max_tokens=8,
            messages=[
                {"role": "developer", "content": "You are terse."},
                {"role": "user", "content": [{"type": "text", "text": "My name is "}, {"type": "text", "text": "Ada."}]},
                {"role": "assistant", "content": "Hello Ada."},
                {"role": "user", "content": "Who am I?"},
            ],
        )
        self.assertTrue(answer.choices[0].message.content)

    def test_an_answer_can_be_sent_back_as_it_came(self):
        said = self.ask().choices[0].message
        again = client().chat.completions.create(
            model=CHAT, max_tokens=4, messages=[*QUESTION, said, {"role": "user", "content": "Go on."}]
        )
        self.assertEqual(again.usage.completion_tokens, 4)

    def test_logprobs(self):
        answer = self.ask(temperature=0, logprobs=True, top_logprobs=3).choices[0]
        tokens = answer.logprobs.content
        self.assertEqual(len(tokens), 16)
        self.assertEqual(b"".join(bytes(token.bytes) for token in tokens).decode(), answer.message.content)
        for token in tokens:
            self.assertLessEqual(token.logprob, 0)
            self.assertEqual(len(token.top_logprobs), 3)
            likely = [other.logprob for other in token.top_logprobs]
            self.assertEqual(likely, sorted(likely, reverse=True))
            self.assertLessEqual(sum(math.exp(other) for other in likely), 1.0001)
        streamed = [
            token
            for chunk in self.ask(temperature=0, logprobs=True, top_logprobs=3, stream=True)
            if chunk.choices and chunk.choices[0].logprobs
            for token in chunk.choices[0].logprobs.content
        ]
        self.assertEqual([token.token for token in streamed], [token.token for token in tokens])


class Forms(unittest.TestCase):
    def test_json_schema_is_parsed_into_the_callers_own_type(self):
        parsed = client().chat.completions.parse(
            model=CHAT,
            max_tokens=80,
            messages=[{"role": "user", "content": "Tell me of Oslo, as JSON."}],
            response_format=City,
        )
        city = parsed.choices[0].message.parsed
        self.assertIsInstance(city, City)
        self.assertEqual(parsed.choices[0].finish_reason, "stop")

    def test_json_object(self):
        answer = client().chat.completions.create(
            model=CHAT,
            max_tokens=120,
            seed=3,
            messages=[{"role": "user", "content": 'Answer with {"ok": true} as JSON.'}],
            response_format={"type": "json_object"},
        )
        if answer.choices[0].finish_reason == "stop":
            self.assertIsInstance(json.loads(answer.choices[0].message.content), dict)
        else:
            self.assertTrue(answer.choices[0].message.content.lstrip().startswith("{"))

    def test_a_schema_that_is_none_is_refused_by_name(self):
        with self.assertRaises(openai.BadRequestError) as refused:
            client().chat.completions.create(
                model=CHAT,
                messages=QUESTION,
                response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "no-type"}}},
            )
        self.assertTrue(refused.exception.param.startswith("response_format"), refused.exception.param)


class Tools(unittest.TestCase):
    messages = [{"role": "user", "content": "What is the weather in Paris, in celsius?"}]

    def check(self, call):
        self.assertEqual(call.function.name, "get_weather")
        arguments = json.loads(call.function.arguments)
        self.assertIn(arguments["city"], ["Paris", "Oslo"])
        self.assertIn(arguments["unit"], ["celsius", "fahrenheit"])

    def test_a_required_call_its_result_and_the_answer(self):
        fields = {"model": CHAT, "tools": [WEATHER], "max_tokens": 96, "temperature": 0}
        first = client().chat.completions.create(messages=self.messages, tool_choice="required", **fields)
        message = first.choices[0].message
        self.assertEqual(first.choices[0].finish_reason, "tool_calls")
        self.assertIsNone(message.content)
        for call in message.tool_calls:
            self.check(call)
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": '{"degrees": 21}'} for call in message.tool_calls
        ]
        second = client().chat.completions.create(
            messages=[*self.messages, message, *results], tool_choice="none", **fields
        )
        self.assertTrue(second.choices[0].message.content)
        self.assertIsNone(second.choices[0].message.tool_calls)

    def test_a_named_call_is_streamed(self):
        named = {"type": "function", "function": {"name": "get_weather"}}
        with client().chat.completions.stream(
            model=CHAT, messages=self.messages, tools=[WEATHER], tool_choice=named, max_tokens=96, temperature=0
        ) as stream:
            kinds = {event.type for event in stream}
            final = stream.get_final_completion()
        self.assertIn("tool_calls.function.arguments.done", kinds)
        self.assertEqual(final.choices[0].finish_reason, "tool_calls")
        for call in final.choices[0].message.tool_calls:
            self.check(call)


class Completions(unittest.TestCase):
    def test_whole_and_streamed(self):
        fields = {"model": CHAT, "prompt": "Once upon a time", "max_tokens": 12, "temperature": 0}
        whole = client().completions.create(**fields)
        self.assertEqual(whole.object, "text_completion")
        self.assertEqual(whole.choices[0].finish_reason, "length")
        self.assertTrue(whole.choices[0].text)
        streamed = "".join(
            chunk.choices[0].text for chunk in client().completions.create(stream=True, **fields) if chunk.choices
        )
        self.assertEqual(streamed, whole.choices[0].text)


class Embeddings(unittest.TestCase):
    def test_as_numbers_and_as_base64(self):
        texts = ["a cat on a mat", "a kitten on a rug", "interest rates rose"]
        # The client asks for base64 by itself and decodes it.
        packed = client().embeddings.create(model=EMBEDDER, input=texts)
        plain = client().embeddings.create(model=EMBEDDER, input=texts, encoding_format="float")
        raw = client().embeddings.create(model=EMBEDDER, input=texts[0], encoding_format="base64")
        self.assertEqual([one.index for one in packed.data], [0, 1, 2])
        self.assertEqual(len(packed.data[0].embedding), 384)
        for one, other in zip(packed.data, plain.data):
            for a, b in zip(one.embedding, other.embedding):
                self.assertAlmostEqual(a, b, places=6)
        bytes_ = base64.b64decode(raw.data[0].embedding)
        self.assertAlmostEqual(struct.unpack("<384f", bytes_)[0], plain.data[0].embedding[0], places=6)
        cat, kitten, rates = (one.embedding for one in plain.data)
        close, far = (sum(a * b for a, b in zip(cat, other)) for other in (kitten, rates))
        self.assertGreater(close, far + 0.2)
        self.assertGreater(packed.usage.prompt_tokens, 3)

    def test_a_model_of_the_wrong_kind_is_named(self):
        with self.assertRaises(openai.BadRequestError) as refused:
            client().embeddings.create(model=CHAT, input="x")
        self.assertEqual(refused.exception.param, "model")
        with self.assertRaises(openai.BadRequestError) as refused:
            client().chat.completions.create(model=EMBEDDER, messages=QUESTION)
        self.assertEqual(refused.exception.param, "model")


class Errors(unittest.TestCase):
    def refused(self, kind, **fields):
        with self.assertRaises(kind) as refused:
            client().chat.completions.create(**{"model": CHAT, "messages": QUESTION, **fields})
        return refused.exception

    def test_name_the_field(self):
        for field, value in [("temperature", 3), ("top_p", 0), ("n", 2), ("max_tokens", 0), ("logit_bias", {"1": 1})]:
            error = self.refused(openai.BadRequestError, **{field: value})
            self.assertEqual((error.param, error.type), (field, "invalid_request_error"), field)
            self.assertIn(field, error.message)

    def test_an_unknown_field_is_not_ignored(self):
        error = self.refused(openai.BadRequestError, extra_body={"mirostat": 2})
        self.assertEqual(error.param, "mirostat")

    def test_an_unknown_model_and_a_prompt_that_is_too_long(self):
        self.assertEqual(self.refused(openai.NotFoundError, model="no-such-model").code, "model_not_found")
        long = [{"role": "user", "content": "word " * 20_000}]
        self.assertEqual(self.refused(openai.BadRequestError, messages=long).code, "context_length_exceeded")

    def test_a_request_has_a_name(self):
        error = self.refused(openai.BadRequestError, n=2, extra_headers={"x-request-id": "mine-1"})
        self.assertEqual(error.request_id, "mine-1")


class Leaving(unittest.TestCase):
    def test_a_cancelled_stream_says_so_and_others_go_on(self):
        stream = client().chat.completions.create(
            model=CHAT, messages=STORY, max_tokens=4000, stream=True, extra_headers={"x-request-id": "to-cancel"}
        )
        chunks = iter(stream)
        first = next(chunks)
        cancelled = client().post("/requests/to-cancel/cancel", cast_to=object)
        self.assertTrue(cancelled["cancelled"])
        with self.assertRaises(openai.APIError) as ended:
            for _ in chunks:
                pass
        self.assertEqual(ended.exception.code, "cancelled")
        self.assertTrue(first.id)
        with self.assertRaises(openai.NotFoundError):
            client().post("/requests/to-cancel/cancel", cast_to=object)

    def test_a_cancelled_whole_answer_is_not_asked_again(self):
        heard = []

        def ask():
            try:
                OpenAI(max_retries=2, timeout=120).chat.completions.create(
                    model=CHAT, messages=STORY, max_tokens=4000, extra_headers={"x-request-id": "whole"}
                )
            except openai.APIStatusError as error:
                heard.append((error.status_code, error.code))

        asking = threading.Thread(target=ask)
        asking.start()

        def cancel():
            try:
                return client().post("/requests/whole/cancel", cast_to=object)["cancelled"]
            except openai.NotFoundError:
                return False

        self.assertTrue(eventually(cancel))
        asking.join(30)
        self.assertEqual(heard, [(499, "cancelled")])

    def test_a_closed_stream_stops_computing(self):
        stream = client().chat.completions.create(model=CHAT, messages=STORY, max_tokens=4000, stream=True)
        next(iter(stream))
        self.assertEqual(computed(), 1)
        stream.close()
        self.assertTrue(eventually(lambda: computed() == 0), computed())


class Together(unittest.TestCase):
    def test_many_at_once_by_the_asynchronous_client(self):
        async def all_of_them():
            async with AsyncOpenAI(max_retries=4, timeout=120) as many:
                asks = (
                    many.chat.completions.create(model=CHAT, messages=QUESTION, max_tokens=12, temperature=0)
                    for _ in range(8)
                )
                return await asyncio.gather(*asks)

        texts = {answer.choices[0].message.content for answer in asyncio.run(all_of_them())}
        self.assertEqual(len(texts), 1, texts)


if __name__ == "__main__":
    unittest.main(verbosity=2)
