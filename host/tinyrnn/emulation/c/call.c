// SPDX-License-Identifier: MIT
/* Call a function and write the memory after the call to a file. thumb_cores.py runs this program on a bare core in QEMU.
 * BASE is the address of the RAM. It holds the function's address, its three arguments, the data's address and size. */
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
    semihost(0x18, (void *)0x20026); /* exit: the program ended as it should */
}

static void reset(void) {
    word (*function)(word, word, word) = (word (*)(word, word, word))(PARAMETERS[0] | 1);
    PARAMETERS[0] = function(PARAMETERS[1], PARAMETERS[2], PARAMETERS[3]);
    save();
}

static void fault(void) {
    semihost(0x18, (void *)0x20023); /* exit: a run-time error */
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    (void *)(BASE + 0x40000), (void *)reset, (void *)fault, (void *)fault, (void *)fault, (void *)fault, (void *)fault};
