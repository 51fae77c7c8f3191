"""Texts of a message as SpamAssassin cuts them, for rules that were written for it.

The rule: what a rule of SpamAssassin sees there it sees here, byte for byte: text as UTF-8, header fields with their
names' rules, the body as paragraphs on one line each, relays as one text.
"""
