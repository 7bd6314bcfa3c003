"""Short English sentences written for this book: what somebody wants, and what somebody thinks."""

from __future__ import annotations

import itertools
import random
import re
from typing import NamedTuple

import torch

from unrolled.data.prose import LabelledTexts

# A line is a wording, in three sentences.
_WORDINGS = {
    "time": """
        what time is it / what time is it now / what time is it please
        tell me the time / tell me the time please / can you tell me the time
        do you know what time it is / do you know how late it is / do you have the time
        how late is it / is it late already / how late is it now
        is it noon yet / is it midnight yet / is it already past eight
        what does the clock say / what does the clock say now / read me the clock
        what is the time in tokyo / what is the time in paris / what time is it in new york
        which hour is it / what hour is it in london / what hour do we have
        how many minutes until six / how many minutes until noon / how long until midnight
        give me the exact time / give me the time in berlin / i need the exact time
        what day is it today / what day is tomorrow / which day of the week is it
        is it nine already / is it nine or ten / is it ten in rome now
    """,
    "weather": """
        what is the weather like / what is the weather like today / what is the weather in paris
        will it rain today / will it rain tomorrow / will it rain in the evening
        is it going to snow / is it going to rain tonight / is it going to be sunny
        do i need an umbrella / do i need a coat today / should i take an umbrella
        how warm is it / how cold is it outside / how hot is it in madrid
        tell me the weather / tell me the weather for tomorrow / tell me the forecast
        is it sunny / is it windy outside / is it foggy this morning
        what is the forecast / what is the forecast for the weekend / give me the forecast
        how many degrees are there / how many degrees will we have / what is the temperature
        any rain today / any snow in the mountains / any storms coming
        can i go without a jacket / can we have a picnic tomorrow / can i dry my clothes outside
        does the sun shine in rome / does it rain in oslo / when will the rain stop
    """,
    "alarm": """
        wake me up at seven / wake me up at six thirty / wake me up at noon
        set an alarm / set an alarm for eight / set an alarm for six in the morning
        i have to get up at five / i have to get up early / i must get up at nine
        alarm at six / alarm at ten please / alarm tomorrow at seven
        wake me in an hour / wake me in twenty minutes / wake me before noon
        please wake us at eight / please wake the children at seven / can you wake me tomorrow
        cancel the alarm / cancel my alarm for tomorrow / switch off the alarm
        do not let me sleep past nine / do not let me sleep too long / do not let me oversleep
        ring at half past six / ring at seven every day / ring the bell at noon
        remind me at five / remind me to get up / remind me at ten to leave
        i want to sleep until eight / i want to sleep until ten / let me sleep until noon
        change my alarm to six / move the alarm to nine / is my alarm on
    """,
    "music": """
        play some music / play some jazz / play some music by bach
        play a song / play a song by queen / play a quiet song
        i want to hear music / i want to hear the beatles / i want to hear something slow
        put on a record / put on some rock / put on my favourite song
        turn up the music / turn down the volume / make it louder
        next song please / skip this song / next one
        who sings this / who wrote this song / what is this song called
        stop the music / stop playing / pause the song
        can you sing something / sing me a song / sing a song for the children
        something to dance to / some music for dinner / a bit of mozart please
        play it again / play that song again / again from the start please
        shuffle my songs / start the playlist / start my running playlist
    """,
    "translate": """
        translate hello into french / translate thank you into german / translate this into spanish
        how do you say hello in chinese / how do you say goodbye in italian / how do you say yes
        what is bread in french / what is cat in german / what is house in turkish
        say good night in spanish / say thank you in japanese / say please in dutch
        what does bonjour mean / what does danke mean in english / what does this word mean
        what is the french word for dog / what is the german word for time / the russian for snow
        i need this in english / i need this sentence in french / can i have that in german
        put this into italian / put that sentence into english / put it into chinese please
        how would a german say this / how would you order coffee in rome / how would i say no
        is there a word for this in finnish / is there an english word for that / which word is it
        can you speak french / can you read chinese / can you help me with this spanish letter
        what does this german letter say / what is written here in japanese / read this french menu
    """,
    "lights": """
        turn on the light / turn on the lights in the kitchen / turn on the lamp
        turn off the light / turn off all the lights / turn off the lamp in the bedroom
        switch the light on / switch the lights off / switch the lamp off please
        it is too dark / it is too dark in here / it is dark i cannot see
        make it brighter / make it darker / make the room brighter
        lights on / lights off / lights out please
        dim the lights / dim the lamp in the hall / dim the light a little
        can i have some light / can we have more light / can we have less light here
        i cannot see anything / i cannot see my book / i can hardly see the stairs
        leave the light on in the hall / leave the lamp on tonight / leave a light on
        is the light still on / is the lamp on in the kitchen / did i leave the light on
        light up the garden / light the stairs / light in the bathroom please
    """,
    "route": """
        how do i get to the station / how do i get home / how do i get to the airport
        where is the nearest bakery / where is the nearest bank / where is the next bus stop
        show me the way / show me the way home / show me the way to the museum
        take me to the hotel / take me home / take me to the beach
        how far is it to paris / how far is the hospital / how far is it on foot
        which bus goes to the centre / which train goes to london / which road leads to the sea
        do i turn left or right / do i turn left here / where do i have to turn
        i am lost / i am lost where am i / i cannot find the hotel
        find a way without motorways / find the shortest way / find a route to the lake
        guide me to the church / guide us to the town hall / lead me to the exit
        is this the road to oxford / is this the right way / are we on the right road
        directions to the nearest pharmacy / directions to the zoo / directions home please
    """,
    "message": """
        send a message to anna / send a message to my mother / send a message to the team
        write to tom that i am late / write to anna that it is raining / write to him that we wait
        tell my brother that i am on my way / tell lucy that dinner is ready / tell them to wait
        text my sister / text tom happy birthday / text her where i am
        send an email / send an email to my boss / send him a mail
        let paul know that i am home / let her know what time we meet / let everyone know the plan
        answer anna that i agree / answer him yes / reply that i will come
        do i have new messages / do i have any mail / are there new messages for me
        read me my messages / read the last message / read the mail from paul
        call my mother / call the office / call anna on her phone
        forward this to tom / forward the last mail to my boss / pass this on to lucy
        wish my father a happy birthday / say hello to grandma from me / thank paul for the flowers
    """,
}
# Sentences with the words of another request in them.
_MIXED = """
    time: what does the clock at the station say
    time: how many minutes until my alarm
    time: tell me the time i cannot see the clock
    weather: what time will it rain
    weather: tell me when the sun will shine
    weather: will it rain on my way home
    alarm: wake me up when it rains
    alarm: set an alarm with some music
    alarm: i must get up in time for the bus
    music: play the song wake me up
    music: play something for a rainy day
    music: i want to hear the song here comes the sun
    translate: how do you say what time is it in french
    translate: translate wake me up at seven into german
    translate: how do you say turn on the light in chinese
    lights: turn on the lamp when i get home
    lights: switch the lights off at ten
    lights: it is too dark to find the way
    route: how do i get to the french school
    route: show me the way to the music hall
    route: which bus goes home at midnight
    message: tell anna that it will rain
    message: write to my mother what time it is
    message: tell my brother to turn off the light
"""
_GOOD = ["good", "great", "funny", "clever", "lovely"]
_GOOD += ["charming", "fresh", "kind", "bright", "useful"]
_BAD = ["bad", "awful", "dull", "silly", "ugly"]
_BAD += ["boring", "stale", "rude", "dark", "useless"]
_THINGS = ["film", "book", "hotel", "song", "play", "place"]
_FILLERS = ("", "really", "in the end", "all in all", "after a while")


class Intents(NamedTuple):
    """The task: sentences to train on, other wordings, sentences that mix the words of requests."""

    train: LabelledTexts
    held_out: LabelledTexts
    mixed: LabelledTexts
    classes: tuple[str, ...]


class Opinions(NamedTuple):
    """The task: sentences to train on, and sentences about other pairs of adjectives."""

    train: LabelledTexts
    held_out: LabelledTexts
    classes: tuple[str, str]


def intents() -> Intents:
    """Give 288 requests of eight kinds, written for this book, and 24 that mix their words.

    Each kind has twelve wordings of three sentences. Every third wording is held out, all three
    sentences of it.

    Examples
    --------
    >>> task = intents()
    >>> task.classes[:3], task.train.texts[0]
    (('time', 'weather', 'alarm'), 'what time is it')
    >>> task.held_out.texts[0]
    'do you know what time it is'
    """
    classes = tuple(_WORDINGS)
    parts: tuple[list[tuple[str, int]], ...] = ([], [])
    for label, lines in enumerate(_WORDINGS.values()):
        for number, line in enumerate(lines.strip().splitlines()):
            parts[number % 3 == 2].extend((text.strip(), label) for text in line.split("/"))
    mixed = [line.split(": ") for line in _MIXED.split("\n") if line.strip()]
    return Intents(
        *map(_labelled, parts),
        _labelled([(text, classes.index(name.strip())) for name, text in mixed]),
        classes,
    )


def opinions() -> Opinions:
    """Give opinions such as "the film is not good but in the end funny"; the last part counts.

    A sentence has one adjective, or two that stand on both sides of *but*; an adjective may be
    negated. The opinion is that of the last part: "funny but in the end dull" is bad, "dull but in
    the end funny" is good. With each sentence of two parts comes the one with the parts exchanged,
    which has the same words and the other opinion, so no count of words can tell them apart.
    One pair of adjectives in five is held out, in both orders; no sentence is in both sets.

    Examples
    --------
    >>> task = opinions()
    >>> task.classes
    ('bad', 'good')
    """
    draw = random.Random(0)  # independent of every other random number
    train: list[tuple[str, int]] = []
    held_out: list[tuple[str, int]] = []
    for thing, adjective, negated in itertools.product(_THINGS, _GOOD + _BAD, (False, True)):
        text, label = _side(adjective, negated, draw)
        train.append((f"the {thing} is {text}", label))
    for one, other in itertools.combinations(_GOOD + _BAD, 2):
        part = held_out if draw.random() < 0.2 else train
        of_one_opinion = (one in _GOOD) == (other in _GOOD)
        for negated in (False, True):
            sides = [  # always of two opinions
                _side(one, negated, draw),
                _side(other, not negated if of_one_opinion else negated, draw),
            ]
            thing = draw.choice(_THINGS)
            for (first, _), (last, label) in (sides, sides[::-1]):
                part.append((f"the {thing} is {first} but {last}", label))
    for part in (train, held_out):
        draw.shuffle(part)
    return Opinions(_labelled(train), _labelled(held_out), ("bad", "good"))


def split_sentence(text: str) -> list[str]:
    """Cut a sentence into words without capitals; other signs are dropped.

    Examples
    --------
    >>> split_sentence("What time is it?")
    ['what', 'time', 'is', 'it']
    """
    return re.findall(r"[a-z]+", text.lower())


def _side(adjective: str, negated: bool, draw: random.Random) -> tuple[str, int]:
    """Give one part of an opinion, and whether it is good."""
    words = ("not" if negated else "", draw.choice(_FILLERS), adjective)
    return " ".join(filter(None, words)), int((adjective in _GOOD) != negated)


def _labelled(pairs: list[tuple[str, int]]) -> LabelledTexts:
    return LabelledTexts([text for text, _ in pairs], torch.tensor([label for _, label in pairs]))
