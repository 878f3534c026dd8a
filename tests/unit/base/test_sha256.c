/* SHA-256: the examples of FIPS 180-4's own test documents, every length around a block's end, and
 * that splitting a message changes nothing. */
#include "config/base/sha256.h"
#include "tests/unit/check.h"

static void known_answers(void)
{
    static const struct { const char *text, *hex; } table[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
        { "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopq"
          "klmnopqrlmnopqrsmnopqrstnopqrstu",
          "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1" },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        char hex[TG_SHA256_HEX + 1];
        tg_sha256_text(tg_str_of(table[i].text), hex);
        CHECK_STR(hex, table[i].hex);
    }
}

/* A million times "a", in pieces that never meet a block's end. */
static void million(void)
{
    static char piece[1009];
    struct tg_sha256 s;
    unsigned char digest[TG_SHA256_BYTES];
    char hex[TG_SHA256_HEX + 1];
    memset(piece, 'a', sizeof(piece));
    tg_sha256_init(&s);
    for (size_t done = 0, n; done < 1000000; done += n) {
        n = 1000000 - done < sizeof(piece) ? 1000000 - done : sizeof(piece);
        tg_sha256_update(&s, piece, n);
    }
    tg_sha256_final(&s, digest);
    tg_sha256_hex(digest, hex);
    CHECK_STR(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* Bytes (7 i + n) mod 256, digests by another implementation. */
static void lengths(void)
{
    static const struct { size_t n; const char *hex; } table[] = {
        { 1, "4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a" },
        { 55, "81afe5b788dc2ce138ff83d9b20164db75a94d75d2b2432eea4a0ef605088c72" },
        { 56, "2aba54f0ac632420a2b502431408866e40e1d5e430df4cd822642c78ab2eb9c1" },
        { 57, "903284efbf9100e8ba1614ec65eacacad125e03f857cae7acbf8b73b23e0fdfe" },
        { 63, "733d3d4ee79ee67145bf73da13588f6f235d37414fc64b14a2f00f1762792f5e" },
        { 64, "79322907b3e9d013d7dc2c2f256674dbf733045cde01df3539271c6f5605feb8" },
        { 65, "d85c007c6eb440f085afa2b84f6f2bce4658b240e9f62cb1364bf0485a57e720" },
        { 119, "6c87eedf096b345de205b702e5223b73b447a3207791ded3ea007ba15ed6736e" },
        { 120, "42500cf6a1e3936d6b9e0bcfe296d654b63255e525487d3634d0b15fde591c4d" },
        { 128, "489d55fea9a73af36b6dd0be7b4117d8e5683386d39544e8a44c99a87f368707" },
        { 1000, "6b0df76627243d095b0c4400cb658b7e804dd03461cc03aee8fc8fe0bcada168" },
    };
    for (size_t k = 0; k < sizeof(table) / sizeof(*table); k++) {
        char text[1000], hex[TG_SHA256_HEX + 1];
        for (size_t i = 0; i < table[k].n; i++)
            text[i] = (char)(unsigned char)(7 * i + table[k].n);
        tg_sha256_text((struct tg_str){ text, table[k].n }, hex);
        CHECK_STR(hex, table[k].hex);
    }
}

/* Any split, empty pieces too, and a copied state that goes its own way. */
static void splits(void)
{
    char text[300], whole[TG_SHA256_HEX + 1], hex[TG_SHA256_HEX + 1];
    unsigned char digest[TG_SHA256_BYTES];
    unsigned seed = 1;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(unsigned char)(i * 31);
    tg_sha256_text((struct tg_str){ text, sizeof(text) }, whole);
    for (int round = 0; round < 2000; round++) {
        struct tg_sha256 s, fork;
        tg_sha256_init(&s);
        fork = s;
        for (size_t i = 0, n; i < sizeof(text); i += n) {
            seed = seed * 1103515245u + 12345u;
            n = (seed >> 16) % 90;
            n = n < sizeof(text) - i ? n : sizeof(text) - i;
            tg_sha256_update(&s, n ? text + i : NULL, n);
            fork = s;
        }
        tg_sha256_update(&fork, "x", 1);
        tg_sha256_final(&s, digest);
        tg_sha256_hex(digest, hex);
        CHECK_STR(hex, whole);
        tg_sha256_final(&fork, digest);
        tg_sha256_hex(digest, hex);
        CHECK(strcmp(hex, whole) != 0);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(known_answers),
        CASE(million),
        CASE(lengths),
        CASE(splits),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
