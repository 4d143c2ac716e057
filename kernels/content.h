/* A hash of long messages at the speed of memory: eight lanes that each add the product of the halves of a word under a
 * key, as XXH3 does (Collet, 2019), stirred every kilobyte. The same value on every processor of the same byte order. */
#ifndef HPCKIT_CONTENT_H
#define HPCKIT_CONTENT_H
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#define CONTENT_WIDE __attribute__((target("avx512f")))
#endif

#define CONTENT_STRIPE 64  /* bytes taken at once: a word for each lane */
#define CONTENT_STRIPES 16 /* stripes between two stirs; stripe s of a block uses the keys from s on */
#define CONTENT_PRIME 0x9e3779b1u

static const uint64_t content_keys[32] = { /* splitmix64 of 0 */
    0xe220a8397b1dcdafu, 0x6e789e6aa1b965f4u, 0x06c45d188009454fu, 0xf88bb8a8724c81ecu,
    0x1b39896a51a8749bu, 0x53cb9f0c747ea2eau, 0x2c829abe1f4532e1u, 0xc584133ac916ab3cu,
    0x3ee5789041c98ac3u, 0xf3b8488c368cb0a6u, 0x657eecdd3cb13d09u, 0xc2d326e0055bdef6u,
    0x8621a03fe0bbdb7bu, 0x8e1f7555983aa92fu, 0xb54e0f1600cc4d19u, 0x84bb3f97971d80abu,
    0x7d29825c75521255u, 0xc3cf17102b7f7f86u, 0x3466e9a083914f64u, 0xd81a8d2b5a4485acu,
    0xdb01602b100b9ed7u, 0xa9038a921825f10du, 0xedf5f1d90dca2f6au, 0x54496ad67bd2634cu,
    0xdd7c01d4f5407269u, 0x935e82f1db4c4f7bu, 0x69b82ebc92233300u, 0x40d29eb57de1d510u,
    0xa2f09dabb45c6316u, 0xee521d7a0f4d3872u, 0xf16952ee72f3454fu, 0x377d35dea8e40225u,
};

/* lane[i] += low half * high half of the keyed word; the word itself goes to the neighbour: no zero half hides it. */
static inline void content_stripe(uint64_t *lane, const uint8_t *p, const uint64_t *keys) {
    uint64_t word[8];
    memcpy(word, p, CONTENT_STRIPE);
    for (int i = 0; i < 8; i++) {
        const uint64_t keyed = word[i] ^ keys[i];
        lane[i] += (uint64_t)(uint32_t)keyed * (keyed >> 32) + word[i ^ 1];
    }
}

static inline void content_stir(uint64_t *lane) {
    for (int i = 0; i < 8; i++) lane[i] = (lane[i] ^ lane[i] >> 47 ^ content_keys[24 + i]) * CONTENT_PRIME;
}

static void content_blocks_base(uint64_t *lane, const uint8_t *p, int64_t blocks) {
    for (; blocks; blocks--) {
        for (int s = 0; s < CONTENT_STRIPES; s++, p += CONTENT_STRIPE) content_stripe(lane, p, content_keys + s);
        content_stir(lane);
    }
}

#if defined(__x86_64__)
CONTENT_WIDE static void content_blocks_wide(uint64_t *lane, const uint8_t *p, int64_t blocks) {
    const __m512i stir = _mm512_loadu_si512((const void *)(content_keys + 24));
    const __m512i prime = _mm512_set1_epi64(CONTENT_PRIME);
    __m512i sum = _mm512_loadu_si512((const void *)lane);
    for (; blocks; blocks--) {
        for (int s = 0; s < CONTENT_STRIPES; s++, p += CONTENT_STRIPE) {
            const __m512i word = _mm512_loadu_si512((const void *)p);
            const __m512i keyed = _mm512_xor_si512(word, _mm512_loadu_si512((const void *)(content_keys + s)));
            sum = _mm512_add_epi64(sum, _mm512_mul_epu32(keyed, _mm512_srli_epi64(keyed, 32)));
            sum = _mm512_add_epi64(sum, _mm512_permutex_epi64(word, 0xb1)); /* neighbours change places */
        }
        sum = _mm512_xor_si512(_mm512_xor_si512(sum, _mm512_srli_epi64(sum, 47)), stir);
        sum = _mm512_add_epi64(_mm512_mul_epu32(sum, prime),
                               _mm512_slli_epi64(_mm512_mul_epu32(_mm512_srli_epi64(sum, 32), prime), 32));
    }
    _mm512_storeu_si512((void *)lane, sum);
}
#endif

static uint64_t content_hash(const uint8_t *p, int64_t n, uint64_t seed, int wide) {
    const int64_t block = CONTENT_STRIPE * CONTENT_STRIPES, blocks = n / block;
    int64_t left = n % block;
    uint64_t lane[8], h = seed ^ (uint64_t)n * 0x9e3779b97f4a7c15u;
    uint8_t last[CONTENT_STRIPE] = {0};
    for (int i = 0; i < 8; i++) lane[i] = content_keys[16 + i] ^ seed;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (wide && __builtin_cpu_supports("avx512f"))
        content_blocks_wide(lane, p, blocks);
    else
#endif
        content_blocks_base(lane, p, blocks);
    p += blocks * block;
    for (int s = 0; left; s++) {
        const int64_t m = left < CONTENT_STRIPE ? left : CONTENT_STRIPE;
        if (m < CONTENT_STRIPE) {
            memcpy(last, p, (size_t)m);
            p = last;
        }
        content_stripe(lane, p, content_keys + s);
        p += m;
        left -= m;
    }
    content_stir(lane);
    for (int i = 0; i < 8; i++) { /* murmur3's finaliser between the lanes (Appleby, 2011) */
        h ^= lane[i] ^ content_keys[i];
        h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
        h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
        h ^= h >> 33;
    }
    return h;
}
#endif
