/* tokenizer_class.c: the classes of all expressions, and the kinds of characters that they divide
 * Unicode into: two characters are of one kind when every class holds both or none.
 */
#include "tokenizer_build.h"

#include <string.h>

uint32_t qbc_token_class_add(struct builder *b, struct charset set)
{
    for (size_t i = 0; i < b->n_classes; i++)
        if (b->class[i].n == set.n && set.n > 0 &&
            !memcmp(b->class[i].range, set.range, set.n * sizeof *set.range))
            return (uint32_t)i;
    if (b->n_classes == b->room_classes) {
        b->room_classes = 2 * b->room_classes + 16;
        struct charset *grown = qbc_alloc(b->q, b->room_classes * sizeof *grown);
        if (b->n_classes)
            memcpy(grown, b->class, b->n_classes * sizeof *grown);
        b->class = grown;
    }
    b->class[b->n_classes] = set;
    return (uint32_t)b->n_classes++;
}

/* Kinds are found by splitting: a class splits each kind into what it holds and the rest. */
static bool split_kinds(struct builder *b, uint16_t *kind, size_t *n_kinds)
{
    int32_t renamed[QBRT_TOKENIZER_KINDS];
    *n_kinds = 1;
    for (size_t k = 0; k < b->n_classes; k++) {
        size_t before = *n_kinds;
        size_t inside[QBRT_TOKENIZER_KINDS] = {0}, total[QBRT_TOKENIZER_KINDS] = {0};
        for (uint32_t c = 0; c < CODE_POINTS; c++)
            total[kind[c]]++;
        for (size_t i = 0; i < b->class[k].n; i++)
            for (uint32_t c = b->class[k].range[i].first; c <= b->class[k].range[i].last; c++)
                inside[kind[c]]++;
        for (size_t i = 0; i < before; i++) {
            renamed[i] = (int32_t)i;
            if (inside[i] == 0 || inside[i] == total[i])
                continue;
            if (*n_kinds == QBRT_TOKENIZER_KINDS)
                return qbc_token_fail(b,
                                      "its expressions tell more than %d kinds of characters apart",
                                      QBRT_TOKENIZER_KINDS);
            renamed[i] = (int32_t)(*n_kinds)++;
        }
        for (size_t i = 0; i < b->class[k].n; i++)
            for (uint32_t c = b->class[k].range[i].first; c <= b->class[k].range[i].last; c++)
                kind[c] = (uint16_t)renamed[kind[c]];
    }
    return true;
}

bool qbc_token_classes_write(struct builder *b)
{
    uint16_t *kind = qbc_alloc(b->q, CODE_POINTS * sizeof *kind);
    size_t n_kinds;
    if (!split_kinds(b, kind, &n_kinds))
        return false;
    for (size_t k = 0; k < b->n_classes; k++) {
        uint8_t bits[QBRT_TOKENIZER_KINDS / 8] = {0};
        for (size_t i = 0; i < b->class[k].n; i++)
            for (uint32_t c = b->class[k].range[i].first; c <= b->class[k].range[i].last; c++)
                bits[kind[c] / 8] |= (uint8_t)(1u << kind[c] % 8);
        qbc_token_table_add(b, QBRT_TABLE_classes, bits, sizeof bits);
    }
    for (int i = 0; i < 512; i++) {
        uint8_t is = (uint8_t)kind[i < 256 ? i : b->byte_to_char[i - 256]];
        qbc_token_table_add(b, QBRT_TABLE_kinds, &is, 1);
    }
    b->header.kind_trie = qbc_token_kinds_write(b, kind);
    return true;
}
