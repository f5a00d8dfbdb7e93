"""The only place where everybody is introduced: what is opened here is closed here, in reverse.

`desk` opens what an operator's verb needs, `platform` what serves requests, `serving` runs a server around it, `names`
is for the shell's completion. Nothing is imported here: each of them costs what it needs and no more.
"""
