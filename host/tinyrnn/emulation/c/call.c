// SPDX-License-Identifier: MIT
/* Call a function at an address and write the memory afterwards to a file: thumbcores.py runs it on a bare core in QEMU.
 * BASE: of the RAM. At BASE: the function, its three arguments, the place of the data and its size. */
typedef unsigned int word;

#define PARAMETERS ((volatile word *)BASE)

static word semihost(word operation, const void *block) {
    register word r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void save(void) {
    static const char name[] = "after";
    const word open[] = {(word)name, 5 /* "wb" */, sizeof name - 1};
    word file = semihost(1, open);
    const word head[] = {file, BASE, 4};
    semihost(5, head);
    const word data[] = {file, PARAMETERS[4], PARAMETERS[5]};
    semihost(5, data);
    semihost(2, &file);
    semihost(0x18, (void *)0x20026); /* the end of a program that has run as it should */
}

static void reset(void) {
    word (*function)(word, word, word) = (word (*)(word, word, word))(PARAMETERS[0] | 1);
    PARAMETERS[0] = function(PARAMETERS[1], PARAMETERS[2], PARAMETERS[3]);
    save();
}

static void fault(void) {
    semihost(0x18, (void *)0x20023); /* a run-time error */
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    (void *)(BASE + 0x40000), (void *)reset, (void *)fault, (void *)fault, (void *)fault, (void *)fault, (void *)fault};
