"""The words of probes: what is wrong, spelled so that each fits between two blanks.

`␠` is a blank, `$0` nothing, `$C` a CRLF, `$E` ends a chunk of hello and the body; `$H` and `$V` are the hosts of two
tenants. All else is as in a string of Python.
"""

from collections.abc import Iterator

# What stands behind Host: and names no host, or more than one.
HOSTS = r"""
$0 ␠ $H,␠$V $H␠$V $H;$V .$H a..b -$H $H- $H.. $H/ $H/x http://$H //$H user@$H user:pw@$H $H@$V $H?x $H#x $H\\x
$H: $H:0 $H:00080 $H:+80 $H:-1 $H:65536 $H:99999999 $H:80:80 $H:80a $H:8␠0 $H:␠80 :80 : [ [] [::1 ::1 [::1]x
[::1]: [g::1] [fe80::1%25eth0] [::1%lo] [1.2.3.4] %61$H $H%00 $H%2e * *.$H _$H a_b.$H '$H' "$H" <$H> ($H)
b\xc3\xbccher.example b\xfccher.example \xff$H $H\xe3\x80\x82x $H\t$V {$H} \44$H ~$H |$H
"""
# What is asked for and is no path.
TARGETS = r"""
* $0 index acme/ ?x # /# /a#b /a?b#c . .. \\ \\\\x %2f :80 : $H $H:80 $V:443 http:/x http:// http: http:x
ftp://$H/ ws://$H/ file:///etc/passwd javascript:x urn:x:y http://u@$H/
"""
# What stands at the end of a first line and is neither version.
VERSIONS = r"""
HTTP/0.9 HTTP/1.2 HTTP/1.9 HTTP/2.0 HTTP/2 HTTP/3 HTTP/9.9 HTTP/0.0 HTTP/1 HTTP/1. HTTP/.1 HTTP/1.10 HTTP/1.01
HTTP/01.1 HTTP/11 HTTP/1,1 HTTP/1.1.1 HTTP/1.1x HTTP/+1.1 HTTP/1.-1 HTTP/1.␠1 HTTP/␠1.1 HTTP␠/1.1 http/1.1
Http/1.1 HTTPS/1.1 HTTP1.1 HTTP:1.1 HTTP\\1.1 FTP/1.1 /1.1 1.1 HTTP/ HTTP HTTP/1.1␠ HTTP/1.1\t ␠HTTP/1.1
HTTP/1.1␠HTTP/1.1 HTTP/1.1;x HTTP/1.1,HTTP/1.0 \xefHTTP/1.1 HTTP/\xef\xbc\x91.1 HTTP/1.1\x00 \x00HTTP/1.1 ICY
SIP/2.0
"""
# What begins a first line and is no method.
METHODS = r"""
get Get gET G␠T ␠GET \tGET GET\t GET␠ GET\x00 \x00GET G\xe9T GET: GET/ (GET) GET,POST GET; "GET" {GET} GE@T
GET\x0b - 1 \xef\xbb\xbfGET GET\x7f _GET
"""
# Lines of a header that are no fields.
LINES = r"""
␠folded \tfolded X-A:␠1\r\n␠folded X-A:␠1\r\n\tfolded X-A:␠1\r\n␠ X-A␠:␠1 X-A\t:␠1 ␠X-A:␠1 \tX-A:␠1 :␠1 X-A
X␠A:␠1 X-A␠1 X-\xe9:␠1 X-A\x00:␠1 X-A:␠a\x00b X-A:␠a\rb X-A:␠a\nb (X):␠1 X@A:␠1 X,A:␠1 X;A:␠1 X/A:␠1 X[A]:␠1
X{A}:␠1 X"A":␠1 X=A:␠1 X?A:␠1 X\\A:␠1 X<A>:␠1 X\x7f:␠1 Content-Length␠:␠5 Transfer-Encoding␠:␠chunked Host␠:␠$V
␠Host:␠$V X:␠1\n\nGET␠/␠HTTP/1.1 X:␠1\r\rHost:␠$V X:␠1\nHost:␠$V X:␠1\rHost:␠$V = GET␠/x␠HTTP/1.1
\xef\xbb\xbfX:␠1
"""
# What stands behind Content-Length: and is no length.
LENGTHS = r"""
+5 -5 5.0 0x5 5␠5 5,5 5,␠5 5,6 5; 5_0 $0 ␠ five 5e0 0b101 0o5 '5' "5" 5a a5 5\x0b \xb25 \xef\xbc\x95 \xd9\xa5
999999999999999999999999999999 5\x00 --5 5- ~5 NaN 1e1000 5␠bytes
"""
# What stands behind Transfer-Encoding: and is not chunked.
CODINGS = r"""
$0 gzip identity chunke xchunked chunkedx chunked;q=1 chunked; chunked, ,chunked chunked,␠chunked gzip,␠chunked
chunked,␠gzip chunked,␠identity identity,␠chunked gzip,chunked 'chunked' "chunked" chun␠ked chunked␠chunked
\x0bchunked chunked\x0b chunked\x00 \xa0chunked \x85chunked chunked\xff \xef\xbd\x83hunked deflate compress
x-gzip br cow null trailers chunked\x0c \x00chunked CHUNKED,␠chunked =chunked
"""
# Bodies in chunks that are not as they say.
CHUNKS = r"""
0x5$E +5$E -5$E ␠5$E 5␠$E \t5$E $C5$E \n5$E g$E 5h$E 5_0$E 5.$E 5,5$E 5\nhello$C0$C$C 5\n$E 5\rhello$C0$C$C
5\r$E 5\x00$E 00000000000000005$E 5$Chello\n0$C$C 5$Chello0$C$C 5$Chello\r0$C$C 5$Chellox$C0$C$C
5$Chello␠$C0$C$C 5$Chello\r$C0$C$C 5$Chello\n$C0$C$C 5$Chello$C$C0$C$C 4$E 6$E 5$Chello$C0\n\n 5$Chello$C0\n$C
5$Chello$C0$C\n 5$Chello$C0$C\r$C 5$Chello$C0$C␠$C$C 5;$E 5;=$E 5;␠a=b$E 5;a␠b$E 5;a\nb$E 5;a\rb$E 5;a="b$E
5;a\x00$E 5␠;a$E 5;a=b\xff$E hello $C \x00 5$Chello$C0$CX$C$C 5$Chello$C0$CX-A␠:␠1$C$C 5$Chello$C0$C␠X:␠1$C$C
5$Chello$C0$CX:␠1\n$C 5$Chello$C0$CX:␠1$C\n 5$Chello$C0$CX:␠a\x00$C$C 5$Chello$C0$CX:␠a$C␠b$C$C
5$Chello$C0$C:␠a$C$C 5$Chello$C0$CGET␠/smuggled␠HTTP/1.1$C$C 0x0$C$C -0$C$C +0$C$C 0␠$C$C ␠0$C$C 0;$C$C 0\rX\n$C
\xef\xbc\x95$E 5\x0b$E 5\x85$E
"""
# And what is legal.
LEGAL_TARGETS = r"""
/ // /a//b /%00%0d%0a%2f%2e /a%zz% /?a=b?c&d /http://x/ /! /\44&'()*+,;=:@-._~ /"<>\\^`{|}[] /* /?
"""
LEGAL_HOSTS = r"""
Host:$H host:$H HOST:\t␠$H␠\t Host:␠$H:8000 Host:␠$H:80 Host:␠$H:65535 Host:␠$H.
"""
LEGAL_LINES = r"""
X-Empty: X-A:␠1\r\nX-A:␠2 Cookie:␠a=b\r\nCookie:␠c=d X-A:␠caf\xe9 X_A:␠1 X-!#\44%&'*+.^`|~:␠1 X-A:␠a\tb
Connection:␠keep-alive,␠x Expect:␠nothing Content_Length:␠5 Transfer_Encoding:␠chunked X-A:\t1\t X-A:␠\x85
"""
LEGAL_CHUNKS = r"""
0$C$C 5$E 0005;a=b;c="d␠e";f$E 5$Chello$C000;x$C$C A$Chellohello$Ca$Chellohello$C0$C$C 5$Chello$C0$CX-Sum:␠1$CX-B:$C$C
"""


def words(text: str, first: bytes, second: bytes) -> Iterator[bytes]:
    """Give the words of a text as bytes; `first` and `second` are the two hosts."""
    signs = {"␠": " ", "$0": "", "$C": r"\r\n", "$E": r"\r\nhello\r\n0\r\n\r\n"}
    signs |= {"$H": first.decode(), "$V": second.decode()}
    for word in text.split():
        spelled = word
        for sign, stands_for in signs.items():
            spelled = spelled.replace(sign, stands_for)
        yield spelled.encode().decode("unicode_escape").encode("latin-1")
